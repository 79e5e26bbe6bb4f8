# Reverses only the first line.
print(input()[::-1])
