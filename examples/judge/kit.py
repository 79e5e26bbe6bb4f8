"""What generators, checkers and interactors in Python say; it lies beside them in the sandbox."""

import os
import random
import sys
import traceback


def write_test(name, given, answer=""):
    """Make a test of a subtask: NAME is SUBTASK.NUMBER."""
    for suffix, content in (("in", given), ("answer", answer)):
        with open(f"{name}.{suffix}", "w") as file:
            file.write(content)


def chance(seed):
    """Give a source of chance that is the same each time."""
    return random.Random(seed)  # noqa: S311 - tests are no secret


def arguments():
    """Read the files that we are called with."""
    found = []
    for path in sys.argv[1:]:
        with open(path, errors="replace") as file:
            found.append(file.read())
    return found


def accept(text="right"):
    """Say that the answer is right."""
    leave(0, text)


def wrong(text):
    """Say that the answer is wrong."""
    leave(1, text)


def malformed(text):
    """Say that this is no answer at all."""
    leave(2, text)


def points(score, text=""):
    """Say which part of the points the answer is worth, from 0 to 1."""
    leave(7, f"{score} {text}")


def gone(text):
    """Say that there was nothing more to read: how the solution ended decides."""
    leave(8, text)


def leave(code, text):
    """Say something to the judge, and end."""
    sys.stderr.write(text)
    sys.stderr.flush()
    sys.exit(code)


def fail(kind, error, trace):
    """Say that we failed ourselves: Python's own exit code for it means a wrong answer here."""
    traceback.print_exception(kind, error, trace)
    sys.stderr.flush()
    os._exit(3)


sys.excepthook = fail
