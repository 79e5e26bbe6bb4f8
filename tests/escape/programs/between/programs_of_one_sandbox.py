# Promise: programs that share a sandbox learn neither one another's secrets nor anything of init.
# client: yes

import sys

import sandboxd

SECRET = "swordfish"
SPY = """
import ctypes, os
def look(what, path):
    try:
        with open(path, "rb") as file:
            print("SEEN" if file.read(100) else "empty", what)
    except OSError:
        print("refused", what)
libc = ctypes.CDLL(None)
for name in filter(str.isdigit, os.listdir("/proc")):
    if int(name) == os.getpid():
        continue
    for file in ("environ", "mem", "maps", "auxv", "syscall", "stack", "fd/0", "root/etc/passwd"):
        look(f"{name}/{file}", f"/proc/{name}/{file}")
    print("SEEN" if libc.ptrace(16, int(name), 0, 0) == 0 else "refused", f"{name} by ptrace")
print(len(os.listdir("/proc/1")), "files of init")
"""

with sandboxd.SyncClient(sys.argv[1]) as client, client.sandboxes.create() as sandbox:
    secret = {"WORD": SECRET}
    with sandbox.exec(["/bin/sh", "-c", "echo up; exec sleep 60"], secret_env=secret) as holder:
        next(iter(holder))
        said = sandbox.run(["/usr/bin/python3", "-Ic", SPY]).stdout.data.decode()
    looked = said.count("refused") >= 9 and said.endswith("0 files of init\n")
    print(
        "HELD" if looked and "SEEN" not in said else "BROKEN", "nothing is seen of the other", said
    )
