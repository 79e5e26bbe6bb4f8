# Promise: output spliced in from files, without a copy, is cut and ended all the same.
# limits: output_bytes=64KiB cpu_time=300ms wall_time=3s
# policies: default build nested
# expect: limit cpu_time | limit wall_time
# check: truncated stdout
# check: daemon_growth 16MiB
import os

SIZE = 8 << 20
with open("big", "wb+") as file:
    file.truncate(SIZE)
    while True:
        os.splice(file.fileno(), 1, SIZE, offset_src=0)
