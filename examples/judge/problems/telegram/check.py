"""Called with INPUT OUTPUT ANSWER after each pass; leaves the input of the next one in `next`."""

from kit import accept, arguments, malformed, wrong

given, output, answer = arguments()
line, said = answer.strip("\n"), output.strip("\n")
if given.startswith("encode"):
    if not (said.isascii() and said.isdigit()):
        malformed(f"a telegram has digits only, not {said[:40]!r}")
    if len(said) > 4 * len(line):
        wrong(f"{len(said)} digits are too many")
    with open("next", "w") as file:
        file.write(f"decode\n{said}\n")
    accept("sent")
if said != line:
    wrong(f"{said[:40]!r} came back, instead of {line[:40]!r}")
accept("came back")
