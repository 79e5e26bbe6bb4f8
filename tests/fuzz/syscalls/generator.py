"""Lists of system calls at random, the same for the same seed.

Most arguments are what some call takes seriously: a small number, a flag, a size, a path, a
structure; else hardly any call would get past its first check.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from syscalls.executor import MEMORY_BYTES, POINTER, Listed

from sandboxd.kernel.seccomp import HIGHEST_NUMBER, X32_BIT, Calls

if TYPE_CHECKING:
    import random

SLOT = 64
"""Every so many bytes of the memory something begins that a pointer may lead to."""
PATHS = (
    *(b".", b"..", b"/", b"/tmp", b"/tmp/a", b"/tmp/b/c", b"/workspace/a", b"/dev/shm/x"),
    *(b"/dev/null", b"/dev/zero", b"/dev/full", b"/dev/tty", b"/usr/bin/true", b"/bin/sh"),
    *(b"/proc/self/mem", b"/proc/self/maps", b"/proc/self/fd/0", b"/proc/self/exe"),
    *(b"/proc/1/root", b"/proc/sysrq-trigger", b"/proc/sys/kernel/hostname", b"/etc/passwd"),
    *(b"/proc/self/ns/user", b"/proc/self/uid_map", b"/proc/self/setgroups"),
    *(b"/proc/self/oom_score_adj", b"proc", b"tmpfs", b"sysfs", b"user.x", b"a" * 60),
)
SMALL = (*range(17), 100, 1000, 65534)
SIZES = (1, 7, 8, 63, 64, 255, 4095, 4096, 4097, 65536, 1 << 20, 1 << 30, 1 << 31, 1 << 40)
ALL = (1 << 64) - 1
ODD = (
    *(ALL, ALL - 1, ALL - 99, ALL - 4095, 1 << 63, (1 << 63) - 1, 1 << 32, (1 << 32) - 1, 1 << 31),
    *(1 << 32 | 16, 1 << 32 | 0x5412, 0x10000011, 0x7E020000, 0x5412, 0xDEAD000),
)


def random_memory(source: random.Random) -> bytes:
    """Give memory full of paths, small numbers, pointers and noise."""
    slots = []
    for _ in range(MEMORY_BYTES // SLOT):
        kind = source.random()
        if kind < 0.35:
            slot = source.choice(PATHS)
        elif kind < 0.7:
            words = [source.choice((*SMALL, *SIZES)) for _ in range(SLOT // 8)]
            slot = struct.pack("=8Q", *words)
        elif kind < 0.85:
            slot = source.randbytes(SLOT)
        else:
            slot = b""
        slots.append(slot[:SLOT].ljust(SLOT, b"\0"))
    return b"".join(slots)


def random_calls(
    source: random.Random, count: int, without: frozenset[str] = frozenset()
) -> list[Listed]:
    """Give calls: known ones mostly, of any number some, of x32 and negative ones a few.

    With names in `without` there are only known ones, and none of these.
    """
    known = sorted(number for number, name in Calls().known().items() if name not in without)
    numbers = (source.choice(known) if without else _number(source, known) for _ in range(count))
    return [Listed(number, tuple(_argument(source) for _ in range(6))) for number in numbers]


def _number(source: random.Random, known: list[int]) -> int:
    kind = source.random()
    if kind < 0.93:
        return source.choice(known)
    if kind < 0.98:
        return source.randint(0, HIGHEST_NUMBER)
    if kind < 0.99:
        return X32_BIT | source.choice(known)
    return source.getrandbits(32)


def _argument(source: random.Random) -> int:
    kind = source.random()
    if kind < 0.35:
        return POINTER + SLOT * source.randrange(MEMORY_BYTES // SLOT)
    if kind < 0.7:
        return source.choice(SMALL)
    if kind < 0.8:
        return source.choice(SIZES)
    if kind < 0.88:
        return 1 << source.randrange(64) | 1 << source.randrange(32)
    if kind < 0.97:
        return source.choice(ODD)
    return source.getrandbits(64)
