# Leaves a multiple of four.
print(int(input()) % 4)
