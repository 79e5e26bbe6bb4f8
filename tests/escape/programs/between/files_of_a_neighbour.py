# Promise: a job does not see what another writes while both run.
# jobs: together

import os
import sys
import time

NAME = "beside"
PLACES = ("/tmp", "/workspace", "/dev/shm")


def first():
    for place in PLACES:
        with open(f"{place}/{NAME}", "w") as file:
            file.write("secret")
    print("READY", flush=True)
    time.sleep(60)


def second():
    paths = [f"{place}/{NAME}" for place in PLACES]
    paths += [f"/proc/{pid}/root{place}/{NAME}" for pid in range(1, 100) for place in PLACES]
    found = [path for path in paths if os.path.exists(path)]
    print("BROKEN" if found else "HELD", "looked in every place and every process's root", *found)


{"first": first, "second": second}[sys.argv[1]]()
