# Promise: of more files than a job may bring back, the rest is reported, not collected.
# outputs: *.many
# check: file *.many TOO_LARGE
# check: no_file 9999.many
import os

for number in [*range(1500), 9999]:
    os.close(os.open(f"{number:04}.many", os.O_CREAT | os.O_WRONLY))
count = sum(name.endswith(".many") for name in os.listdir("."))
print("HELD" if count == 1501 else "BROKEN", f"{count} files match what is asked for")
