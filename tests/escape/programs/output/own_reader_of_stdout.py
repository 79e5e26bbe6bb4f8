# Promise: a program whose child reads its output away, and keeps the pipe open, still ends.
# policies: default build nested
# expect: signaled USR1
# check: wall_below 5s
import os
import signal

ready, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    thief = os.open("/proc/self/fd/1", os.O_RDWR)
    os.write(tell, b"x")
    while True:
        os.read(thief, 65536)
os.read(ready, 1)
for _ in range(64):
    os.write(1, b"x" * 65536)
signal.raise_signal(signal.SIGUSR1)
