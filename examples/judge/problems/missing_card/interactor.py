"""Called with INPUT ANSWER; 3 and 4 lead from and to the first, 5 and 6 from and to the second."""

import os

from kit import accept, arguments, gone, malformed, wrong

HIGHEST = 10**18


def tell(descriptor, *lines):
    os.write(descriptor, "".join(f"{line}\n" for line in lines).encode())


def number_from(descriptor, who):
    with open(descriptor) as voice:
        line = voice.readline()
    if not line:
        gone(f"{who} says nothing")
    words = line.split()
    if len(words) != 1 or not words[0].isdecimal() or int(words[0]) > HIGHEST:
        malformed(f"{who} says no number up to 10**18: {line[:40]!r}")
    return int(words[0])


cards, rest, (missing,) = (line.split() for line in arguments()[0].split("\n"))
tell(4, len(cards), " ".join(cards))
hint = number_from(3, "first")
tell(6, hint, len(rest), " ".join(rest))
if number_from(5, "second") != int(missing):
    wrong("second names another card")
accept()
