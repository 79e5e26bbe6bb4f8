# One pass: the best sum that ends here, and the best of all.
input()
best, ending_here = -(10**12), 0
for number in map(int, input().split()):
    ending_here = max(ending_here + number, number)
    best = max(best, ending_here)
print(best)
