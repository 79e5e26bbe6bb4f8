"""The cards, and which of them is taken away."""

from kit import chance, write_test

generator = chance(52)
for place, count in enumerate((1, 2, 10, 52, 1000)):
    cards = generator.sample(range(10**9 + 1), count)
    missing = generator.choice(cards)
    rest = [card for card in cards if card != missing]
    generator.shuffle(rest)
    write_test(
        f"all.{place}", "\n".join(" ".join(map(str, row)) for row in (cards, rest, [missing]))
    )
