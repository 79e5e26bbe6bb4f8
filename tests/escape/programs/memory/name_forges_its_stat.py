# Promise: a process name that looks like the rest of /proc/PID/stat hides no memory.
# limits: memory_bytes=64MiB
# expect: limit memory_bytes
import ctypes
import time

PR_SET_NAME = 15
ctypes.CDLL(None).prctl(PR_SET_NAME, b"x) R 1 0 0 0\n0", 0, 0, 0)
with open("/proc/self/stat") as file:
    if "x) R 1 0" not in file.read():
        raise SystemExit("the name did not stay")
held = [b"x" * (8 << 20) for _ in range(24)]
time.sleep(1)
print(f"BROKEN {len(held) * 8} MiB are there")
