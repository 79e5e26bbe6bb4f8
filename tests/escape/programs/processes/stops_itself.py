# Promise: a program that stops itself ends at wall_time.
# limits: wall_time=500ms
# expect: limit wall_time
# check: wall_below 5s
import signal

signal.raise_signal(signal.SIGSTOP)
print("BROKEN it goes on, though nobody continued it")
