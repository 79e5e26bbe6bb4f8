# Takes the answer for a number.
print(500_000, flush=True)
print(int(input()), flush=True)
