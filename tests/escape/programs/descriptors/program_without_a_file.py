# Promise: a program executed from memory or from a deleted file is held as its parent was.
# expect: exited 0 | denied clone

import ctypes
import errno
import os

AT_EMPTY_PATH, EXECVEAT = 0x1000, 322
REFUSED = {errno.EPERM, errno.EACCES, errno.ENOSYS}
ASK = (
    "import re;text=open('/proc/self/status').read();"
    "f=dict(re.findall(r'(\\w+):\\s*(.*)',text));"
    "ok=f['Seccomp']=='2' and f['NoNewPrivs']=='1' and int(f['CapEff'],16)==0"
    " and int(f['CapBnd'],16)==0;"
    "print('HELD' if ok else 'BROKEN','the new program has filter, no privileges',flush=True)"
)
libc = ctypes.CDLL(None, use_errno=True)


def copy(fd):
    with open("/usr/bin/python3", "rb") as source:
        while os.sendfile(fd, source.fileno(), None, 1 << 20):
            pass
    return fd


def in_memory():
    return copy(os.memfd_create("program"))


def deleted():
    fd = copy(os.open("/tmp/program", os.O_RDWR | os.O_CREAT, 0o700))
    again = os.open("/tmp/program", os.O_RDONLY)
    os.close(fd)
    os.unlink("/tmp/program")
    return again


def execute(fd):
    argv = (ctypes.c_char_p * 5)(b"python3", b"-I", b"-c", ASK.encode(), None)
    environment = (ctypes.c_char_p * 1)(None)
    libc.syscall(EXECVEAT, fd, b"", argv, environment, AT_EMPTY_PATH)
    number = ctypes.get_errno()
    print("HELD" if number in REFUSED else "BROKEN", os.strerror(number), flush=True)
    os._exit(0)


for make in (in_memory, deleted):
    try:
        fd = make()
        child = os.fork()
        if child == 0:
            execute(fd)
        _, status = os.waitpid(child, 0)
        if status:
            print("BROKEN the child ended with", status)
    except OSError as error:
        known = error.errno in REFUSED
        print("HELD" if known else "BROKEN", f"{make.__name__}:", error.strerror)
