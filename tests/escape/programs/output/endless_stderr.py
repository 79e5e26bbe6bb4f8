# Promise: 256 MiB on stderr are cut, cost the daemon no memory, and hold up nobody.
# limits: output_bytes=64KiB
# check: truncated stderr
# check: daemon_growth 16MiB
import os

TOTAL = 256 << 20
block = b"x" * (1 << 20)
written = 0
while written < TOTAL:
    written += os.write(2, block)
print("HELD stderr took it all, and stdout still speaks")
