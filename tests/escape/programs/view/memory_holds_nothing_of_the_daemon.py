# Promise: memory begins with exec: no mapping and no id of init or the daemon is left in it.
import os
import re

with open("/proc/self/maps") as file:
    mapped = {match[1] for line in file if (match := re.search(r"(/\S.*)$", line))}
foreign = [
    path
    for path in mapped
    if not path.startswith(("/usr/", "/lib", "/etc/ld.so.cache", "/workspace/"))
    or "sandboxd" in path
]
print("BROKEN" if foreign else "HELD", f"{len(mapped)} mapped files, foreign: {foreign}")
with open("/proc/self/auxv", "rb") as file:
    words = memoryview(file.read()).cast("Q").tolist()
auxiliary = dict(zip(words[::2], words[1::2]))
ids = [auxiliary[kind] for kind in (11, 12, 13, 14)]  # uid, euid, gid, egid
same = ids == [os.getuid(), os.geteuid(), os.getgid(), os.getegid()] == [1000] * 4
print("HELD" if same and auxiliary[23] == 0 else "BROKEN", f"ids at exec: {ids}")
