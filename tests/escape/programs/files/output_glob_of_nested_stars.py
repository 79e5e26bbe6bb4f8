# Promise: a glob of many double stars over many directories is cut off, not searched to its end.
# outputs: **/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/**/nothing
import os

for number in range(1000):
    os.mkdir(f"{number}")
count = len(os.listdir("."))
print("HELD" if count == 1001 else "BROKEN", f"{count} entries, each to be visited 63 times over")
