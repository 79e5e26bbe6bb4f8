# Promise: a program that sends itself XCPU has not used up its processor time.
# expect: signaled XCPU

import signal

signal.raise_signal(signal.SIGXCPU)
print("BROKEN it was not ended")
