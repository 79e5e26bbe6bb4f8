# A sieve, then the smallest prime that fits.
number = int(input())
sieve = bytearray([1]) * (number + 1)
sieve[:2] = b"\0\0"
for divisor in range(2, int(number**0.5) + 1):
    if sieve[divisor]:
        sieve[divisor * divisor :: divisor] = bytes(
            len(range(divisor * divisor, number + 1, divisor))
        )
print(*next((p, number - p) for p in range(2, number) if sieve[p] and sieve[number - p]))
