// Computes in single precision.
#include <algorithm>
#include <cmath>
#include <cstdio>

int main() {
    float a, b, c;
    if (std::scanf("%f %f %f", &a, &b, &c) != 3) return 1;
    float q = -(b + std::copysign(std::sqrt(b * b - 4 * a * c), b)) / 2;
    auto [small, large] = std::minmax({q / a, c / q});
    std::printf("%.12g %.12g\n", small, large);
}
