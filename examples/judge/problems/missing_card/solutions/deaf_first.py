# The first waits for a line too many before it speaks.
import sys

lines = [input(), input()]
if sys.argv[1] == "first":
    lines.append(input())
print(sum(map(int, lines[1].split())), flush=True)
