# Promise: the environment and the auxiliary vector hold what the job says, nothing of the daemon's.

import os
import struct

KNOWN = {"PATH", "HOME", "LANG", "TMPDIR"}
with open("/proc/self/environ", "rb") as file:
    raw = [entry.decode() for entry in file.read().split(b"\0") if entry]
names = {entry.split("=", 1)[0] for entry in raw}
strange = {name for name in names | set(os.environ) if name not in KNOWN and name[:5] != "BAIT_"}
print("BROKEN" if strange else "HELD", "names of the environment", *strange)
print("HELD" if os.environ["HOME"] == "/workspace" else "BROKEN", "HOME is", os.environ["HOME"])

AT_UID, AT_EUID, AT_SECURE, AT_EXECFN = 11, 12, 23, 31
with open("/proc/self/auxv", "rb") as file:
    vector = dict(struct.iter_unpack("QQ", file.read()))
ids = vector[AT_UID], vector[AT_EUID]
print("HELD" if ids == (os.getuid(),) * 2 and 0 not in ids else "BROKEN", "ids are", ids)
with open("/proc/self/cmdline", "rb") as file:
    words = file.read().split(b"\0")
print("HELD" if words[0] == b"/usr/bin/python3" else "BROKEN", "the command line is", words)
print("BROKEN" if vector[AT_SECURE] else "HELD", "no secure execution: no privilege was gained")
