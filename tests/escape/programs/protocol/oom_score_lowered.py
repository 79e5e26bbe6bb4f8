# Promise: when the host runs out of memory a job goes first: it cannot lower its own OOM score.
# policies: default strict build

import errno
import os

REFUSED = {errno.EACCES, errno.EPERM, errno.ENOENT, errno.EROFS, errno.ENOSYS}
LEAST = 1000


def score():
    with open("/proc/self/oom_score_adj") as file:
        return int(file.read())


before = score()
print("HELD" if before == LEAST else "BROKEN", "the score is", before)
for path in ("/proc/self/oom_score_adj", "/proc/thread-self/oom_score_adj", "/proc/self/oom_adj"):
    for value in ("-1000", "-17", "0", "999"):
        try:
            fd = os.open(path, os.O_WRONLY)
            os.write(fd, value.encode())
            how = "was taken"
        except OSError as error:
            how = error.strerror
            if error.errno not in REFUSED:
                print("BROKEN an odd error:", path, value, how)
        kept = score() >= before
        print("HELD" if kept else "BROKEN", f"{path} {value}: {how}, score {score()}")
