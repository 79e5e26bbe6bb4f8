# Promise: a sparse file of gigabytes is refused by its size and costs the daemon no memory.
# limits: file_size_bytes=4GiB scratch_bytes=1MiB
# outputs: holes
# check: file holes TOO_LARGE
# check: daemon_growth 16MiB
import os

SIZE = (4 << 30) - 4096
with open("holes", "wb") as file:
    file.truncate(SIZE)
    status = os.fstat(file.fileno())
word = "HELD" if status.st_size == SIZE and status.st_blocks == 0 else "BROKEN"
print(word, f"a file of {status.st_size} bytes in {status.st_blocks} blocks waits to be read")
