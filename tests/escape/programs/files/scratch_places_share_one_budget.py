# Promise: /workspace, /tmp and /dev/shm together hold scratch_bytes, not each of them.
# limits: scratch_bytes=2MiB
# check: touched scratch_bytes
import errno
import os

total = 0
for place in ("/workspace", "/tmp", "/dev/shm"):
    fd = os.open(f"{place}/part", os.O_CREAT | os.O_WRONLY)
    try:
        while total < 8 << 20:
            total += os.write(fd, bytes(4096))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            print("BROKEN", f"{place}: {errno.errorcode[error.errno]}")
print("HELD" if 1 << 20 <= total <= 3 << 20 else "BROKEN", f"{total} bytes in all three places")
