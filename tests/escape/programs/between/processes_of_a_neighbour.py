# Promise: a job sees no process of another job, by /proc, by signal or by pidfd.
# jobs: together

import errno
import os
import signal
import sys
import time

if sys.argv[1] == "first":
    print("READY", flush=True)
    time.sleep(60)
    sys.exit()

mine = {1, os.getpid()}
listed = {int(name) for name in os.listdir("/proc") if name.isdecimal()} - mine
print("BROKEN" if listed else "HELD", "/proc lists nobody else", *listed)
PROBES = {
    "kill": lambda pid: os.kill(pid, 0),
    "pidfd_open": lambda pid: os.close(os.pidfd_open(pid)),
    "getpgid": os.getpgid,
    "getpriority": lambda pid: os.getpriority(os.PRIO_PROCESS, pid),
    "sched_getscheduler": os.sched_getscheduler,
}
for what, probe in PROBES.items():
    found = []
    for pid in {*range(3, 3000), int(os.environ["BAIT_PID"])} - mine:
        try:
            probe(pid)
            found.append(pid)
        except OSError as error:
            if error.errno not in {errno.ESRCH, errno.EPERM, errno.ENOSYS, errno.EACCES}:
                found.append(f"{pid}: {error}")
    print("BROKEN" if found else "HELD", f"{what} finds nobody else", *found[:5])
try:
    os.kill(-1, signal.SIGKILL)
    print("BROKEN there was somebody to kill")
except OSError as error:
    known = error.errno in {errno.ESRCH, errno.EPERM, errno.ENOSYS}
    print("HELD" if known else "BROKEN", "kill of all:", error.strerror)
