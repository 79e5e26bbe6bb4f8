# Asks all questions at once, more than anybody reads.
print(*range(1, 300_000), sep="\n", flush=True)
