# Promise: a program that closes its streams has not ended: its end is still seen as it is.
# expect: signaled USR1
# check: wall_below 5s
import os
import signal
import time

os.closerange(0, 3)
time.sleep(0.3)
signal.raise_signal(signal.SIGUSR1)
