# Promise: a program that sends itself SYS did not meet the policy.
# expect: signaled SYS

import signal

signal.raise_signal(signal.SIGSYS)
print("BROKEN it was not ended")
