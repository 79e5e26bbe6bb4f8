"""Exact answers by decimals of 60 digits; some whose roots are of very different size."""

from decimal import Decimal, getcontext

from kit import chance, write_test

getcontext().prec = 60
generator = chance(8)


def solved(a, b, c):
    root = Decimal(b * b - 4 * a * c).sqrt()
    return sorted(((-b - root) / (2 * a), (-b + root) / (2 * a)))


cases = [(1, -3, 2), (2, 0, -8), (-1, 5, 6)]
while len(cases) < 10:
    a, b, c = (generator.randint(-1000, 1000) for _ in range(3))
    if a and b * b > 4 * a * c:
        cases.append((a, b, c))
cases += [(1, -(10**12), 7 * 10**11 + 1), (10**12, 10**12, -7), (1, 10**12, 3 * 10**11 + 1)]
for place, case in enumerate(cases):
    small, large = solved(*case)
    write_test(f"all.{place:02}", " ".join(map(str, case)), f"{small:.30e} {large:.30e}\n")
