# Lays a coin on both sides.
input()
print("? 1 1 1", flush=True)
input()
