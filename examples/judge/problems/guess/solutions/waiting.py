# Waits to be asked.
print(input())
