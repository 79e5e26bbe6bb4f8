# Trusts the line.
import sys

if sys.argv[1] == "first":
    print(f"{int(input()):020b}".replace("0", "a").replace("1", "b"), flush=True)
else:
    print(int(input().replace("a", "0").replace("b", "1"), 2), flush=True)
