# Weighs one third against another.
first, count = 1, int(input())
while count > 1:
    third = (count + 2) // 3
    if 2 * third > count:
        third = count // 2
    print("?", first, first + third, third, flush=True)
    match input():
        case ">":
            count = third
        case "<":
            first, count = first + third, third
        case _:
            first, count = first + 2 * third, count - 2 * third
print("!", first, flush=True)
