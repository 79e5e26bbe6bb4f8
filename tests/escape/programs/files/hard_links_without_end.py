# Promise: hard links, which take no inode of their own, end at file_count as well.
# limits: file_count=200
import errno
import os

open("one", "w").close()
made, reason = 0, "no end"
for number in range(5000):
    try:
        os.link("one", f"/workspace/{number}")
    except OSError as error:
        reason = errno.errorcode[error.errno]
        break
    made += 1
print("HELD" if made <= 210 and reason == "ENOSPC" else "BROKEN", f"{made} links: {reason}")
