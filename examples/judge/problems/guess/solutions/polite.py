# Asks in words.
print("is it 500000?", flush=True)
input()
