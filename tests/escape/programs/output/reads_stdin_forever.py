# Promise: input ends, again and again, wherever the program looks for more.
# stdin: five
import os
import select

pieces = [os.read(0, 3) for _ in range(1000)]
whole = b"".join(pieces) == b"five"
print("HELD" if whole else "BROKEN", "a thousand reads give the input once, then its end")
os.lseek(0, 1 << 40, os.SEEK_SET)
beyond = os.read(0, 65536)
print("HELD" if beyond == b"" else "BROKEN", "far beyond the end is nothing")
os.lseek(0, -4, os.SEEK_END)
print("HELD" if os.read(0, 100) == b"five" else "BROKEN", "before the end is the input only")
readable = select.select([0], [], [], 5)[0]
print("HELD" if readable else "BROKEN", "nobody waits for more")
