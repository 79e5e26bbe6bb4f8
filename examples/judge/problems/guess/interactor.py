"""Called as testlib's: INPUT ANSWER, with the solution at its standard input and output."""

import sys

from kit import accept, arguments, gone, malformed, wrong

QUESTIONS = 20

sought = int(arguments()[0])
for number in range(1, QUESTIONS + 1):
    line = sys.stdin.readline()
    if not line:
        gone(f"the solution gave up before question {number}")
    try:
        guess = int(line)
    except ValueError:
        malformed(f"question {number} is no number: {line[:40]!r}")
    if guess == sought:
        print("=", flush=True)
        accept(f"found by question {number}")
    print("<" if sought < guess else ">", flush=True)
wrong(f"not found by {QUESTIONS} questions")
