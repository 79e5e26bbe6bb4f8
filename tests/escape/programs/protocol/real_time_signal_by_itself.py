# Promise: the last of the real-time signals is told by its name, like any other.
# expect: signaled RTMAX

import signal

signal.raise_signal(signal.SIGRTMAX)
print("BROKEN it was not ended")
