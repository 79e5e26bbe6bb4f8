# Promise: a program that shrinks, grows or unblocks the pipe of its output confuses only itself.
# limits: output_bytes=64KiB
# check: truncated stderr
# check: daemon_growth 16MiB
import fcntl
import os
from contextlib import suppress

block = b"x" * 100_000
written = 0
for size in (4096, 1 << 20, 4096):
    with suppress(OSError):
        fcntl.fcntl(2, fcntl.F_SETPIPE_SZ, size)
    for blocking in (False, True):
        os.set_blocking(2, blocking)
        with suppress(BlockingIOError):
            written += os.write(2, block)
print("HELD" if written > 300_000 else "BROKEN", f"{written} bytes went through all shapes")
