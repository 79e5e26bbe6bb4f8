# Halves what is left.
low, high = 1, 1_000_000
while True:
    middle = (low + high) // 2
    print(middle, flush=True)
    match input():
        case "<":
            high = middle - 1
        case ">":
            low = middle + 1
        case _:
            break
