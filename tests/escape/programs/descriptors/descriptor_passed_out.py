# Promise: no descriptor of a sandbox can be passed to a process of the host.

import errno
import os
import socket

REFUSED = {errno.ENOENT, errno.ECONNREFUSED, errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT}
REFUSED |= {errno.ENOSYS}
path = os.environ["BAIT_UNIX"]
ADDRESSES = {
    "the host's socket file": path,
    "the same by way of init": f"/proc/1/root{path}",
    "the host's abstract socket": "\0" + os.environ["BAIT_ABSTRACT"],
}
root = os.open("/", os.O_PATH)
for what, address in ADDRESSES.items():
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        try:
            out = socket.socket(socket.AF_UNIX, kind)
            out.connect(address)
            socket.send_fds(out, [b"x"], [root])
            print("BROKEN the root's descriptor went to", what)
        except OSError as error:
            known = error.errno in REFUSED
            print("HELD" if known else "BROKEN", f"{what}:", error.strerror)
