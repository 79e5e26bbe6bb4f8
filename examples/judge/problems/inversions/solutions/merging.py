# Sorts by merging; each number of the right half passes what is left of the left one.
def sorted_and_counted(row):
    if len(row) < 2:
        return row, 0
    middle = len(row) // 2
    left, count = sorted_and_counted(row[:middle])
    right, more = sorted_and_counted(row[middle:])
    count += more
    merged, at = [], 0
    for number in right:
        while at < len(left) and left[at] < number:
            merged.append(left[at])
            at += 1
        count += len(left) - at
        merged.append(number)
    merged += left[at:]
    return merged, count


input()
print(sorted_and_counted(list(map(int, input().split())))[1])
