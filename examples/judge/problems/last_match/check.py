"""Called with INPUT OUTPUT ANSWER after each move; leaves the input of the next one in `next`."""

from kit import accept, arguments, malformed, wrong

given, output, answer = arguments()
count, habit = int(given), int(answer)
words = output.split()
if len(words) != 1 or words[0] not in {"1", "2", "3"} or int(words[0]) > count:
    malformed(f"this is no move: {output[:40]!r}")
count -= int(words[0])
if not count:
    accept("won")
if count <= 3:
    wrong("the opponent takes the rest")
count -= count % 4 or habit
with open("next", "w") as file:
    file.write(f"{count}\n")
accept("goes on")
