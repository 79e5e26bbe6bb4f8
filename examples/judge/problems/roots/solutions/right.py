# Takes the root that loses nothing, and the other one from their product.
from math import copysign, sqrt

a, b, c = map(float, input().split())
q = -(b + copysign(sqrt(b * b - 4 * a * c), b)) / 2
print(*sorted((q / a, c / q)))
