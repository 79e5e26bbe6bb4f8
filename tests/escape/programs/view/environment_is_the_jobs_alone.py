# Promise: a program's environment is the job's and the documented names: nothing of the daemon.
import os

EXPECTED = {"PATH", "HOME", "LANG", "TMPDIR"}
with open("/proc/self/environ", "rb") as file:
    first = file.read().split(b"\0")
names = {entry.partition(b"=")[0].decode() for entry in first if entry} | set(os.environ)
others = {name for name in names - EXPECTED if not name.startswith("BAIT_")}
print("BROKEN" if others else "HELD", f"names that no job gave: {sorted(others)}")
print("HELD" if os.environ["HOME"] == "/workspace" else "BROKEN", os.environ["HOME"])
