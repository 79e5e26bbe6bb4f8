# Counts down.
for number in range(int(input()), 0, -1):
    print(number)
