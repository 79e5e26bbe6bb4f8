# Promise: set-user-id and set-group-id bits on an output lend nothing here and nothing outside.
# outputs: tool
# check: file tool =content
import os
import stat

with open("tool", "w") as file:
    file.write("content")
os.chmod("tool", 0o6755)
mode = os.stat("tool").st_mode
flags = os.statvfs("tool").f_flag
if not flags & os.ST_NOSUID:
    print("BROKEN", f"mode {stat.S_IMODE(mode):o} counts: the place is not mounted nosuid")
elif flags & os.ST_NOEXEC:
    print("BROKEN", "the place is noexec: nothing was tried")
else:
    print("HELD", f"mode {stat.S_IMODE(mode):o} lies in a nosuid place")
