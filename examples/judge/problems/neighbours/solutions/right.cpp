// Kadane's algorithm: one pass, constant memory.
#include <algorithm>
#include <iostream>

int main() {
    std::ios::sync_with_stdio(false);
    std::cin.tie(nullptr);
    int count;
    std::cin >> count;
    long long best = -1'000'000'000'000LL, ending_here = 0;
    for (int i = 0; i < count; ++i) {
        long long value;
        std::cin >> value;
        ending_here = std::max(ending_here + value, value);
        best = std::max(best, ending_here);
    }
    std::cout << best << '\n';
}
