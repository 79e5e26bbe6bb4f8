# Counts right, and ends with another exit code than 0.
import sys

for number in range(int(input()), 0, -1):
    print(number)
sys.exit(3)
