# Keeps the sum of every run of neighbours before it looks for the largest.
input()
numbers = list(map(int, input().split()))
sums = []
for start in range(len(numbers)):
    total = 0
    for number in numbers[start:]:
        total += number
        sums.append(total)
print(max(sums))
