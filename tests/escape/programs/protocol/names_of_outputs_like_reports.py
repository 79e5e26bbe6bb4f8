# Promise: no name of a file can forge what is reported of it or of others.
# outputs: out **
# check: file out =true

import os

with open("out", "w") as file:
    file.write("true")
NAMES = (
    b'"],["ended",[],1,0,1,0,0,[]]',
    b'x",null,true],["file",["file"],1,"out"',
    b"line\nbreak",
    b"\xff\xfe no text",
    b"\xed\xa0\x80 surrogate",
    b'quote"back\\slash',
    b"x" * 255,
    "\u202eout".encode(),
    b"*",
    b"[a-z]",
    b"-rf",
)
for name in NAMES:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, b"false")
    os.close(fd)
made = set(os.listdir(b"."))
print("HELD" if made >= set(NAMES) else "BROKEN", len(NAMES), "files have names like reports")
