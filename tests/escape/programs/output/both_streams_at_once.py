# Promise: floods on both streams are each cut at output_bytes.
# limits: output_bytes=64KiB cpu_time=300ms wall_time=3s
# expect: limit cpu_time | limit wall_time
# check: truncated stdout
# check: truncated stderr
# check: daemon_growth 16MiB
import os

block = b"x" * 8191
while True:
    os.write(1, block)
    os.write(2, block)
