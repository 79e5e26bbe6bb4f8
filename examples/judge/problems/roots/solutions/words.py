# Says more than was asked.
print("x1 = 1, x2 = 2")
