# Promise: a program that sends itself XFSZ was ended by a signal.
# expect: signaled XFSZ

import signal

signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
signal.raise_signal(signal.SIGXFSZ)
print("BROKEN it was not ended")
