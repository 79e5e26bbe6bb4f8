"""Runs inside the sandbox: reads code, a line of JSON each, and answers each with such a line.

Variables stay from one to the next. An interrupt ends the code and nothing else.
"""

import ast
import json
import os
import signal
import sys
import tempfile
import traceback

NAME = "<code>"


def run(code, variables):
    """Run code; show the value of its last line, as an interactive Python does."""
    tree = ast.parse(code, NAME)
    is_value = tree.body and isinstance(tree.body[-1], ast.Expr)
    last = ast.Expression(tree.body.pop().value) if is_value else None
    exec(compile(tree, NAME, "exec"), variables)  # noqa: S102 - this is what we are for
    if last and (value := eval(compile(last, NAME, "eval"), variables)) is not None:  # noqa: S307
        print(repr(value))


def explained(error, code):
    """Say what went wrong, and in which line of the code."""
    text, line = str(error), None
    if isinstance(error, SyntaxError):
        text, line = error.msg, error.lineno
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == NAME:
            line = frame.lineno
    said = ": ".join(part for part in (type(error).__name__, text) if part)
    lines = code.splitlines()
    if line and line <= len(lines):
        said += f', in line {line}: "{lines[line - 1].strip()}"'
    return said


def answer(code, variables, written):
    """Run code; tell what it and its children wrote, and what it raised."""
    said = {}
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        run(code, variables)
    except BaseException as error:  # noqa: BLE001 - SystemExit, too, ends the code only
        said["error"] = explained(error, code)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout.flush()
    sys.stderr.flush()
    written.seek(0)
    said["output"] = written.read().decode(errors="replace")
    written.seek(0)
    written.truncate()
    return said


def main():
    """Answer until there is no more to read."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    variables = {"__name__": "__main__"}
    with os.fdopen(os.dup(1), "w") as answers, tempfile.TemporaryFile() as written:
        for descriptor in (1, 2):
            os.dup2(written.fileno(), descriptor)
        for line in sys.stdin:
            print(
                json.dumps(answer(json.loads(line), variables, written)), file=answers, flush=True
            )


main()
