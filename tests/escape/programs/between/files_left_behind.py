# Promise: whatever a job writes is gone with it.
# jobs: after

import os
import sys

NAME = "left-behind"
PLACES = ("/tmp", "/workspace", "/dev/shm", "/workspace/deep/er")


def first():
    os.makedirs("/workspace/deep/er")
    for place in PLACES:
        with open(f"{place}/{NAME}", "w") as file:
            file.write("secret")
        os.chmod(f"{place}/{NAME}", 0o4777)
    os.chmod("/workspace/deep", 0)
    print("HELD nothing yet: the next job looks")


def second():
    for place in PLACES[:-1]:
        names = set(os.listdir(place)) - {"attack.py"}
        print("BROKEN" if names else "HELD", f"{place} is as new", *names)
    for place in PLACES[:-1]:
        space = os.statvfs(place)
        if space.f_blocks - space.f_bfree > 16:
            print("BROKEN", place, "has blocks in use:", space.f_blocks - space.f_bfree)


{"first": first, "second": second}[sys.argv[1]]()
