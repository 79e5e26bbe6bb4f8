# Promise: a thousand files to bring back cost the daemon a bounded number of descriptors.
# limits: file_count=4096 scratch_bytes=32MiB
# outputs: a* **
# check: file a0000 =x
# check: daemon_growth 48MiB

import os

COUNT = 3000
for number in range(COUNT):
    fd = os.open(f"{'a' if number < 500 else 'b'}{number:04}", os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(fd, b"x")
    os.close(fd)
made = len(os.listdir("."))
print("HELD" if made > COUNT else "BROKEN", made, "files are to be brought back")
