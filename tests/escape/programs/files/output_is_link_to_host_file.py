# Promise: a link to a secret of the host, asked for as output, brings no secret back.
# outputs: shadow bait
# check: file shadow LINK
# check: file bait LINK
import errno
import os

for name, target in (("shadow", "/etc/shadow"), ("bait", os.environ["BAIT_FILE"])):
    os.symlink(target, name)
    try:
        os.close(os.open(name, os.O_RDONLY))
    except OSError as error:
        word = "HELD" if error.errno in {errno.ENOENT, errno.EACCES} else "BROKEN"
        print(word, f"reading {target} through a link: {errno.errorcode[error.errno]}")
    else:
        print("BROKEN", f"{target} can be read")
