# Promise: without input a reader meets the end at once, and nothing of the daemon's own input.
import os
import stat

status = os.fstat(0)
print("HELD" if os.read(0, 65536) == b"" else "BROKEN", "stdin is at its end")
is_null = stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)
print("HELD" if is_null else "BROKEN", "stdin is /dev/null, no terminal and no pipe of the host")
