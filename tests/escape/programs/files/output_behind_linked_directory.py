# Promise: an output whose directory was replaced by a link is not followed there.
# outputs: result/hostname deep/er/hostname
# check: file result/hostname LINK
# check: file deep/er/hostname LINK
import os

os.symlink("/etc", "result")
os.mkdir("deep")
os.symlink("../../etc", "deep/er")
for path in ("result/hostname", "deep/er/hostname"):
    if os.path.isfile(path):
        print("HELD", f"{path} is a file to whoever follows links: the answer must not have it")
    else:
        print("BROKEN", f"{path} leads nowhere: nothing was tried")
