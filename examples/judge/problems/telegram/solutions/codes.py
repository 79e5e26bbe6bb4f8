# Two digits a character: its place behind the space.
import sys

task, text = (line.rstrip("\n") for line in sys.stdin)
if task == "encode":
    print("".join(f"{ord(letter) - 32:02}" for letter in text))
else:
    print("".join(chr(int(text[at : at + 2]) + 32) for at in range(0, len(text), 2)))
