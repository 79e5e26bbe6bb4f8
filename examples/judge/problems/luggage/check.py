"""Gives all points, half of them, or a tenth."""

from kit import accept, arguments, malformed, points, wrong

given, output, answer = (text.split() for text in arguments())
count, capacity, *weights = map(int, given)
try:
    said, *chosen = map(int, output)
except ValueError:
    malformed("these are no numbers")
if said != len(chosen) or len(set(chosen)) != said or not set(chosen) <= set(range(1, count + 1)):
    malformed("this is no choice of things")
filled, best = sum(weights[thing - 1] for thing in chosen), int(answer[0])
if filled > capacity:
    wrong(f"{filled} kg tear a bag for {capacity} kg")
if filled == best:
    accept(f"{filled} kg")
points(0.5 if 2 * filled >= best else 0.1, f"{filled} of {best} kg")
