# Promise: a program cannot type into its terminal, by any name or upper bits of the request.
# terminal: yes

import array
import ctypes
import errno
import fcntl
import termios

IOCTL = 16
TIOCSTI, TIOCLINUX, TIOCSETD, TIOCCONS = 0x5412, 0x541C, 0x5423, 0x541D
REQUESTS = {"TIOCSTI": TIOCSTI, "TIOCLINUX": TIOCLINUX, "TIOCSETD": TIOCSETD, "TIOCCONS": TIOCCONS}
HIGH = (0, 1 << 32, 0xFFFFFFFF << 32, 1 << 63)
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
discipline = ctypes.c_int(2)
letter = ctypes.create_string_buffer(b"x")


def typed():
    waiting = array.array("i", [0])
    fcntl.ioctl(0, termios.FIONREAD, waiting)
    return waiting[0]


attributes = termios.tcgetattr(0)
attributes[3] &= ~(termios.ICANON | termios.ECHO)
termios.tcsetattr(0, termios.TCSANOW, attributes)
if typed():
    print("BROKEN the input was not empty before")
for name, request in REQUESTS.items():
    argument = discipline if request == TIOCSETD else letter
    for high in HIGH:
        number = request | high
        result = libc.syscall(
            IOCTL, ctypes.c_long(0), ctypes.c_ulong(number), ctypes.byref(argument)
        )
        error = ctypes.get_errno()
        if result == 0 or typed():
            print(f"BROKEN {name} as {number:#x} worked")
        elif error in {errno.EPERM, errno.ENOSYS, errno.EACCES}:
            print(f"HELD {name} as {number:#x}: {errno.errorcode[error]}")
        else:
            print(f"BROKEN {name} as {number:#x} passed the filter: {errno.errorcode[error]}")
