# Promise: a program cannot change the profile or label that a security module of the host gave it.
import os

before, refused, taken = {}, 0, []
directory = "/proc/self/attr"
paths = [os.path.join(top, name) for top, _, names in os.walk(directory) for name in names]
VALUES = [b"unconfined", b"exec unconfined", b"changeprofile unconfined", b"_", b"kernel"]


def label(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        return error.errno


before = {path: label(path) for path in paths}
for path in paths:
    for value in VALUES:
        try:
            fd = os.open(path, os.O_WRONLY)
            os.write(fd, value)
            taken.append((path, value))
        except OSError:
            refused += 1
same = {path: label(path) for path in paths} == before
print(
    "HELD" if same and not taken else "BROKEN", f"{len(paths)} labels, {refused} refused: {taken}"
)
