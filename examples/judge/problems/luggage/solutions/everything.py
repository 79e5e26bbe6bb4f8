# Takes all.
count, _ = map(int, input().split())
print(count, *range(1, count + 1))
