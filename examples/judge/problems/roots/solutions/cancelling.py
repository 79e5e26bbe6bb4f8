# The formula as it is taught: where b is large, b - sqrt(b * b - ...) has few right digits.
from math import sqrt

a, b, c = map(float, input().split())
root = sqrt(b * b - 4 * a * c)
print(*sorted(((-b - root) / (2 * a), (-b + root) / (2 * a))))
