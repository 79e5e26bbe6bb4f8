# Promise: no job can change the host name that another sees.
# jobs: after

import ctypes
import errno
import os
import sys

MESSAGE = b"changed-by-a-job"
libc = ctypes.CDLL(None, use_errno=True)


def first():
    for what, call in {"host": libc.sethostname, "domain": libc.setdomainname}.items():
        result = call(MESSAGE, ctypes.c_size_t(len(MESSAGE)))
        if result == 0:
            print("BROKEN", what, "name was set")
        else:
            print(f"HELD set {what} name: {errno.errorcode[ctypes.get_errno()]}")
    try:
        with open("/proc/sys/kernel/hostname", "wb") as file:
            file.write(MESSAGE)
        print("BROKEN the host name was set by its file")
    except OSError as error:
        print("HELD host name by its file:", error.strerror)


def second():
    name = os.uname()
    print("BROKEN" if name.nodename != "sandbox" else "HELD", "the host's name is", name.nodename)


{"first": first, "second": second}[sys.argv[1]]()
