# Promise: a program that ignores and blocks every signal ends at wall_time.
# limits: wall_time=500ms
# expect: limit wall_time
# check: wall_below 5s
import signal

for number in set(range(1, 65)) - {9, 19, 32, 33}:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True:
    signal.pause()
