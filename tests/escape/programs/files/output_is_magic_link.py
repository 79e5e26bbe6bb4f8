# Promise: links of /proc, which whoever opens them resolves for itself, bring nothing of init back.
# outputs: environ maps memory input passwd/etc/passwd
# check: file environ LINK
# check: file maps LINK
# check: file memory LINK
# check: file input LINK
# check: file passwd/etc/passwd LINK
import os

TARGETS = {
    "environ": "/proc/self/environ",
    "maps": "/proc/self/maps",
    "memory": "/proc/self/mem",
    "input": "/proc/self/fd/0",
    "passwd": "/proc/self/root",
}
for name, target in TARGETS.items():
    os.symlink(target, name)
    if os.path.exists(name):
        print("HELD", f"{name} leads to {target} here: init must not follow it to its own")
    else:
        print("BROKEN", f"there is no {target}: nothing was tried")
