# Promise: one endless file ends at scratch_bytes, and the answer says that it was full.
# limits: scratch_bytes=2MiB
# check: touched scratch_bytes
import errno
import os

fd = os.open("endless", os.O_CREAT | os.O_WRONLY)
written, reason = 0, "no end"
while written < 8 << 20:
    try:
        written += os.write(fd, bytes(65536))
    except OSError as error:
        reason = errno.errorcode[error.errno]
        break
word = "HELD" if written <= 3 << 20 and reason == "ENOSPC" else "BROKEN"
print(word, f"{written} bytes were taken: {reason}")
