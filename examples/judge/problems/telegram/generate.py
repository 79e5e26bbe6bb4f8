"""Words, numbers, every character, and a long line."""

from kit import chance, write_test

every = "".join(map(chr, range(32, 127)))
lines = ["stop", "Arrive Tuesday 7 pm, bring 3 umbrellas!", f"x{every}x"]
lines.append("".join(chance(3).choices(every.strip(), k=1000)))
for place, line in enumerate(lines):
    write_test(f"all.{place}", f"encode\n{line}\n", f"{line}\n")
