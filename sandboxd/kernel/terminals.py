"""Terminals: a private devpts in the sandbox, and one pseudo-terminal for its program.

Decides the operations. Does the opening: by init, inside, so that ttyname(3) works there and the
host's terminals stay unknown.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios

from sandboxd.kernel.syscalls import MS_NOEXEC, MS_NOSUID
from sandboxd.model.tape import Operation, Tape, Verb, descriptor

PTS = "/dev/pts"
_UNLOCK, _NUMBER = 0x40045431, 0x80045430  # TIOCSPTLCK, TIOCGPTN


def mounted(program_id: int) -> Tape:
    """Mount a devpts of the sandbox's own, whose terminals belong to the program."""
    # Unbounded, one sandbox could take the terminals of the whole host (kernel.pty.max).
    options = f"newinstance,max=16,ptmxmode=0666,mode=600,uid={program_id},gid={program_id}"
    flags = MS_NOSUID | MS_NOEXEC
    return (Operation("terminal", "mount", ("devpts", PTS, "devpts", flags, options)),)


def controlling() -> Tape:
    """Make the terminal the controlling one of the session that the program leads already."""
    return (Operation("controlling_terminal", "take_terminal", (descriptor("stdin"),)),)


# --- do -------------------------------------------------------------------------------------------


def open_pair(rows: int, columns: int, *, echo: bool) -> tuple[int, int]:
    """Open a new terminal of that size; give its master's and its slave's descriptor."""
    master_fd = os.open(f"{PTS}/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master_fd, _UNLOCK, struct.pack("i", 0))
    (number,) = struct.unpack("i", fcntl.ioctl(master_fd, _NUMBER, struct.pack("i", 0)))
    slave_fd = os.open(f"{PTS}/{number}", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    resize(slave_fd, rows, columns)
    if not echo:
        attributes = termios.tcgetattr(slave_fd)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(slave_fd, termios.TCSANOW, attributes)
    return master_fd, slave_fd


def resize(fd: int, rows: int, columns: int) -> None:
    """Tell a terminal its size; its foreground processes get SIGWINCH."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def take_terminal(fd: int) -> None:
    """Make a terminal this session's controlling one."""
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)


VERBS = {"take_terminal": Verb(take_terminal, "make {0} the controlling terminal")}
