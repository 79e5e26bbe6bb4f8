# Promise: a program that closes its terminal, opens it again and floods it ends all the same.
# terminal: yes
# limits: output_bytes=64KiB wall_time=2s
# expect: signaled USR1 | limit wall_time
# check: wall_below 6s
import os
import signal
import time

path = os.ttyname(0)
os.closerange(0, 3)
time.sleep(0.2)
fd = os.open(path, os.O_RDWR)
for _ in range(1000):
    os.write(fd, b"x" * 1000 + b"\n")
signal.raise_signal(signal.SIGUSR1)
