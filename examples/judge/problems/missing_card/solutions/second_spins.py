# The second thinks for ever.
import sys

count = input()
while sys.argv[1] == "second":
    pass
print(count, flush=True)
