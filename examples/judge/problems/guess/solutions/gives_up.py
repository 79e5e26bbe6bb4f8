# Asks once, and ends as if all were well.
print(1, flush=True)
input()
