# Promise: links in a circle, and a link to itself, end the search for an output with a fault.
# outputs: left right self self/below
# check: file left LINK
# check: file self LINK
# check: file self/below LINK
import errno
import os

os.symlink("right", "left")
os.symlink("left", "right")
os.symlink("self", "self")
for name in ("left", "right", "self"):
    try:
        os.stat(name)
    except OSError as error:
        word = "HELD" if error.errno == errno.ELOOP else "BROKEN"
        print(word, f"{name} goes in a circle: {errno.errorcode[error.errno]}")
    else:
        print("BROKEN", f"{name} is no circle: nothing was tried")
