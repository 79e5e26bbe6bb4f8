# Its sieve ends in the middle, and it looks beyond that.
number = int(input())
sieve = [True] * (number // 2)
for prime in range(2, number):
    if sieve[prime] and sieve[number - prime]:
        print(prime, number - prime)
        break
