# Names things by letters.
print("2 A B")
