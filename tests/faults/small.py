"""A file system of a few MiB, for as long as `python small.py` runs: until its stdin ends.

Mounts a tmpfs on /mnt, says "ready", and waits. The test reaches it as /proc/PID/root/mnt.
"""

from __future__ import annotations

import sys

from weak import enter_own_namespaces

from sandboxd.kernel import syscalls

SIZE = "4m"

if __name__ == "__main__":
    enter_own_namespaces()
    syscalls.mount("small", "/mnt", "tmpfs", 0, f"size={SIZE},mode=700")
    print("ready", flush=True)  # noqa: T201 - the test waits for it
    sys.stdin.read()
