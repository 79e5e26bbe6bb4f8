# Promise: with output_bytes=0 nothing at all is kept.
# limits: output_bytes=0
# expect: signaled USR1
# check: truncated stdout
# check: truncated stderr
import os
import signal

os.write(1, b"BROKEN this was kept\n")
os.write(2, b"BROKEN this was kept\n")
signal.raise_signal(signal.SIGUSR1)
