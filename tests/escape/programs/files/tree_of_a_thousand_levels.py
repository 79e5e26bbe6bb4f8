# Promise: a tree too deep for any path neither hangs nor ends the collection, nor stays.
# outputs: ** top/**
# check: file zzz =found
import errno
import os

with open("zzz", "w") as file:
    file.write("found")
os.mkdir("top")
os.chdir("top")
for _ in range(1200):
    os.mkdir("x" * 200)
    os.chdir("x" * 200)
with open("bottom", "w") as file:
    file.write("too deep")
try:
    os.stat("/workspace/top/" + "/".join(["x" * 200] * 1200))
except OSError as error:
    word = "HELD" if error.errno == errno.ENAMETOOLONG else "BROKEN"
    print(word, f"1200 levels lie below: {errno.errorcode[error.errno]} by path")
else:
    print("BROKEN", "the tree is not deep: nothing was tried")
