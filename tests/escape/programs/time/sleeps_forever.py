# Promise: a sleeper ends at wall_time, and has used hardly any processor time.
# limits: wall_time=500ms
# expect: limit wall_time
# check: wall_below 5s
# check: cpu_below 500ms
import signal

while True:
    signal.sigtimedwait([signal.SIGUSR1], 1000)
