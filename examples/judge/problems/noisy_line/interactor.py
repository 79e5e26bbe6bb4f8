"""Called with INPUT ANSWER; 3 and 4 lead from and to the first, 5 and 6 from and to the second."""

import os

from kit import accept, arguments, gone, malformed, wrong

LETTERS = 64


def tell(descriptor, text):
    os.write(descriptor, f"{text}\n".encode())


def heard_from(descriptor, who):
    with open(descriptor) as voice:
        line = voice.readline()
    if not line:
        gone(f"{who} says nothing")
    return line.strip()


number, turned = map(int, arguments()[0].split())
tell(4, number)
letters = list(heard_from(3, "first"))
if len(letters) > LETTERS or not set(letters) <= {"a", "b"}:
    malformed(f"first may not send this: {''.join(letters)[:80]!r}")
if turned < len(letters):
    letters[turned] = "b" if letters[turned] == "a" else "a"
tell(6, "".join(letters))
answer = heard_from(5, "second")
if not answer.isdecimal():
    malformed(f"second writes no number: {answer[:40]!r}")
if int(answer) != number:
    wrong(f"second understood {answer}, first meant {number}")
accept()
