# The sum of all, less the sum of the rest.
import sys

if sys.argv[1] == "first":
    input()
    print(sum(map(int, input().split())), flush=True)
else:
    hint = int(input())
    input()
    print(hint - sum(map(int, input().split())), flush=True)
