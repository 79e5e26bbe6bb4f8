# Promise: a flood on a terminal is cut, costs the daemon no memory, and ends at a time limit.
# terminal: yes
# limits: output_bytes=64KiB cpu_time=500ms wall_time=1500ms
# expect: limit cpu_time | limit wall_time
# check: truncated stdout
# check: wall_below 6s
# check: daemon_growth 16MiB
import os

block = b"x" * 4095 + b"\n"
while True:
    os.write(1, block)
