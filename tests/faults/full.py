"""A file system without room, for as long as `python full.py` runs: until its stdin ends.

Mounts a tmpfs whose few inodes are all taken on /mnt, says "ready", and waits. The test reaches it
as /proc/PID/root/mnt: what it makes there fails with ENOSPC until it removes `taken`.
"""

from __future__ import annotations

import os
import sys

from weak import enter_own_namespaces

from sandboxd.kernel import syscalls

INODES = 3
"""The root's own, `taken`, and none for anybody else."""

if __name__ == "__main__":
    enter_own_namespaces()
    syscalls.mount("full", "/mnt", "tmpfs", 0, f"nr_inodes={INODES - 1},size=4096,mode=700")
    os.mkdir("/mnt/taken")
    print("ready", flush=True)  # noqa: T201 - the test waits for it
    sys.stdin.read()
