# Takes one.
print(1)
