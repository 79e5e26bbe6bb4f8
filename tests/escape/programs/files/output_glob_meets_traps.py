# Promise: a glob over links, pipes and directories brings back the regular files alone.
# policies: default build nested
# outputs: trap/* trap/**/passwd
# check: file trap/real =real
# check: no_file trap/link
# check: no_file trap/pipe
# check: no_file trap/etc/passwd
# check: no_file trap/directory
import os

os.makedirs("trap/directory")
os.symlink("/etc/passwd", "trap/link")
os.symlink("/etc", "trap/etc")
os.mkfifo("trap/pipe")
with open("trap/real", "w") as file:
    file.write("real")
reached = os.path.isfile("trap/etc/passwd") and os.path.isfile("trap/link")
print("HELD" if reached else "BROKEN", "links beside the file lead to readable files")
