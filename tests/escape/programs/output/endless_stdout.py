# Promise: stdout without end is cut, costs the daemon no memory, and ends at a time limit.
# limits: output_bytes=64KiB cpu_time=300ms wall_time=3s
# expect: limit cpu_time | limit wall_time
# check: truncated stdout
# check: touched output_bytes
# check: daemon_growth 16MiB
import os

block = b"x" * (1 << 20)
while True:
    os.write(1, block)
