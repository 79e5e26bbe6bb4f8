# Promise: a program opens only a few further terminals: they are the whole host's.
# terminal: yes
import errno
import os

opened, refusal = 0, "no refusal"
try:
    while opened < 200:
        os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
        opened += 1
except OSError as error:
    refusal = errno.errorcode[error.errno]
held = refusal == "ENOSPC" and opened < 16
print("HELD" if held else "BROKEN", f"{opened} further terminals, then: {refusal}")
