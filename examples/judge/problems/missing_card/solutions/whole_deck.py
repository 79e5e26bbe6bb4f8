# Says more than one may.
import sys

if sys.argv[1] == "first":
    count = input()
    print(count, input(), flush=True)
