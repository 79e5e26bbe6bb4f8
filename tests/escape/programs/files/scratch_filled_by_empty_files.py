# Promise: empty files, directories and links together end at file_count.
# limits: file_count=200
# check: touched file_count
import errno
import os

KINDS = [
    lambda name: os.close(os.open(name, os.O_CREAT | os.O_WRONLY)),
    os.mkdir,
    lambda name: os.symlink("x" * 500, name),
]
made, reasons = 0, set()
for number in range(2000):
    try:
        KINDS[number % 3](f"/tmp/{number}")
    except OSError as error:
        reasons.add(errno.errorcode[error.errno])
        break
    made += 1
word = "HELD" if made <= 210 and reasons == {"ENOSPC"} else "BROKEN"
print(word, f"{made} inodes were made: {reasons}")
