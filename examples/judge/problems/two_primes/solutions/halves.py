# Two halves: primes only at the beginning.
number = int(input())
print(number // 2, number // 2)
