# Promise: a file that grows beyond file_size_bytes ends its writer by a signal.
# limits: file_size_bytes=1MiB
# expect: signaled XFSZ
# check: touched file_size_bytes
# outputs: big
import os
import signal

signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
fd = os.open("big", os.O_CREAT | os.O_WRONLY)
written = 0
while written < 4 << 20:
    written += os.write(fd, bytes(65536))
print("BROKEN", f"{written} bytes in one file")
