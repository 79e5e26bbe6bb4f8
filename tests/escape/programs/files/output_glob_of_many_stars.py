# Promise: a glob made for endless backtracking over long names ends soon.
# outputs: *a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b
import os

for number in range(1000):
    name = "a" * 240 + f"{number:04}"
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
count = sum(name.startswith("aaa") for name in os.listdir("."))
print("HELD" if count == 1000 else "BROKEN", f"{count} names of 244 bytes almost match")
