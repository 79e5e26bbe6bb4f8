# Promise: no resource limit can be raised again, not even one that was lowered by the program.
import resource
from contextlib import suppress

held = 0
for number in range(16):
    before = resource.getrlimit(number)
    hard = before[1]
    if hard == resource.RLIM_INFINITY:
        continue
    for wanted in (hard + 1, resource.RLIM_INFINITY):
        with suppress(ValueError, OSError):
            resource.setrlimit(number, (wanted, wanted))
        if resource.getrlimit(number) != before:
            print(f"BROKEN limit {number} went from {before} to {resource.getrlimit(number)}")
    held += 1
print("HELD" if held >= 8 else "BROKEN", f"{held} limits can only be lowered")
with suppress(ValueError, OSError):
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
verdict = "BROKEN" if resource.getrlimit(resource.RLIMIT_NOFILE)[1] == 128 else "HELD"
print(verdict, "a lowered limit stays low")
