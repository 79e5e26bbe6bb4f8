# Promise: when the whole host runs out of memory a program goes first, whatever it writes.
# policies: default strict build
from contextlib import suppress

FILES = ("/proc/self/oom_score_adj", "/proc/self/oom_adj", "/proc/thread-self/oom_score_adj")


def score():
    with open("/proc/self/oom_score_adj") as file:
        return int(file.read())


before = score()
print("HELD" if before == 1000 else "BROKEN", f"the score at the start is {before}")
for path in FILES:
    for value in ("-1000", "-17", "0", "999"):
        with suppress(OSError), open(path, "w") as file:
            file.write(value)
    print("HELD" if score() == before else "BROKEN", f"{path}: the score is {score()}")
