# Promise: a daemon that nothing ties to the program, not even a descriptor, ends with it.
# policies: default build nested
# check: wall_below 3s
import os
import signal

ready, tell = os.pipe()
child = os.fork()
if child == 0:
    os.setsid()
    if os.fork() == 0:
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
        os.chdir("/")
        os.closerange(0, 256)
        signal.pause()
    os._exit(0)
os.waitpid(child, 0)
os.close(tell)
# The end of file tells that the daemon, too, has closed its copy.
verdict = "HELD" if os.read(ready, 1) == b"" else "BROKEN"
print(verdict, "a daemon without descriptors lives on: the host is looked at")
