# Says every bit three times; the majority is right.
import sys

if sys.argv[1] == "first":
    bits = f"{int(input()):020b}"
    print("".join("ab"[int(bit)] * 3 for bit in bits), flush=True)
else:
    letters = input()
    bits = (letters[at : at + 3].count("b") > 1 for at in range(0, 60, 3))
    print(int("".join("01"[bit] for bit in bits), 2), flush=True)
