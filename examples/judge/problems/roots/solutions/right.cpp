// Takes the root that loses nothing, and the other one from their product.
#include <algorithm>
#include <cmath>
#include <cstdio>

int main() {
    double a, b, c;
    if (std::scanf("%lf %lf %lf", &a, &b, &c) != 3) return 1;
    double q = -(b + std::copysign(std::sqrt(b * b - 4 * a * c), b)) / 2;
    auto [small, large] = std::minmax({q / a, c / q});
    std::printf("%.12g %.12g\n", small, large);
}
