# Promise: the end comes at the limit even if the program makes init idle and takes all processors.
# limits: cpu_time=400ms wall_time=3s process_count=40 memory_bytes=512MiB
# expect: limit cpu_time | limit wall_time | denied clone
# check: wall_below 4s

import os
import threading


def spin():
    while True:
        pass


for attempt in (
    lambda: os.setpriority(os.PRIO_PROCESS, 1, 19),
    lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0)),
):
    try:
        attempt()
    except OSError as error:
        print("refused:", error.strerror, flush=True)
try:
    for _ in range(20):
        if os.fork() == 0:
            spin()
except OSError:
    for _ in range(20):
        threading.Thread(target=spin, daemon=True).start()
spin()
