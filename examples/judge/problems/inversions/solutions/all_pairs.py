# Looks at all pairs: in Python too slow even for some.
input()
row = list(map(int, input().split()))
count = 0
for place, number in enumerate(row):
    for after in range(place + 1, len(row)):
        if row[after] < number:
            count += 1
print(count)
