# Promise: names of control bytes, no UTF-8 or the greatest length come back as one flat file each.
# outputs: odd/*
# check: file odd/plain =content
import os

NAMES = [b"plain", b"-rf", b"...", b"..\n", b"a\nb", b"\x1b[2J", b"\xff\xfe", b"\x80" * 255]
NAMES += [b"back\\slash", b"*", b"%s%n", b"name ", b"\xed\xa0\x80", "\u202e".encode(), b"~"]
os.mkdir("odd")
for name in NAMES:
    with open(b"odd/" + name, "wb") as file:
        file.write(b"content")
made = os.listdir(b"odd")
print("HELD" if sorted(made) == sorted(NAMES) else "BROKEN", f"{len(made)} odd names exist")
