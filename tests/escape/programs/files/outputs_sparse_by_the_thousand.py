# Promise: a thousand sparse files, each small enough, fill neither the answer nor the daemon.
# limits: file_size_bytes=16MiB scratch_bytes=1MiB
# outputs: *.hole
# check: daemon_growth 160MiB
import os

SIZE = 15 << 20
for number in range(1000):
    with open(f"{number}.hole", "wb") as file:
        file.truncate(SIZE)
holes = [entry.stat() for entry in os.scandir(".") if entry.name.endswith(".hole")]
claimed, blocks = sum(s.st_size for s in holes), sum(s.st_blocks for s in holes)
word = "HELD" if claimed == 1000 * SIZE and blocks == 0 else "BROKEN"
print(word, f"{len(holes)} files claim {claimed >> 30} GiB and hold {blocks} blocks")
