"""The compiled zygote: where it lies, and how it is built from `sandboxd/native`.

Its name bears a digest of its sources, so that one built from others is never run. Where there is
none (no compiler, no C library to link) the Python ones serve: the same tapes, only slower.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "native"
MAIN = "zygote.c"
FLAGS = (
    *("-std=gnu17", "-O2", "-s"),
    *("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wno-format-truncation"),
    # Linked whole: it runs where the host's libraries are out of reach. At a random address, with
    # what else a compiler offers against mistakes.
    *("-static-pie", "-fPIE", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2"),
)

_COMPILER = os.environ.get("CC", "cc")


@cache
def zygote_path() -> Path:
    """Tell where the program that belongs to these sources lies, if it has been built."""
    digest = sha256()
    for source in sorted(SOURCES.glob("*.[ch]")):
        digest.update(source.read_bytes())
    return SOURCES / f"zygote-{digest.hexdigest()[:16]}"


def open_zygote() -> int | None:
    """Open the program, to be executed by descriptor; None where there is none."""
    path = zygote_path()
    if not os.access(path, os.X_OK):  # nor on a file system that is mounted noexec
        return None
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def build() -> Path:
    """Build the program where it is not yet, beside its sources, and remove those of other sources.

    Raises:
        OSError: there is no compiler, or the directory cannot be written.
        subprocess.CalledProcessError: it does not compile; the compiler's words are on stderr.

    """
    path = zygote_path()
    if path.exists():
        return path
    half = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        subprocess.run([_COMPILER, *FLAGS, "-o", half, SOURCES / MAIN], check=True)  # noqa: S603
        half.chmod(0o755)
        half.rename(path)
    finally:
        half.unlink(missing_ok=True)
    for other in set(SOURCES.glob("zygote-*")) - {path}:
        other.unlink()
    return path


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:  # with no warning left
        command = [_COMPILER, *FLAGS, "-Werror", "-o", os.devnull, str(SOURCES / MAIN)]
        sys.exit(subprocess.run(command, check=False).returncode)  # noqa: S603
    build()
