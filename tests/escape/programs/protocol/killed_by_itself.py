# Promise: a program that sends itself KILL was ended by that signal, not by a limit.
# expect: signaled KILL
# check: wall_below 3s

import signal

signal.raise_signal(signal.SIGKILL)
print("BROKEN it was not killed")
