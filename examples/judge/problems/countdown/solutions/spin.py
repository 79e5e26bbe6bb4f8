# Counts for ever, to itself.
number = 0
while True:
    number += 1
