// Forgets that every number may be negative: its best never falls below zero.
#include <algorithm>
#include <iostream>

int main() {
    std::ios::sync_with_stdio(false);
    std::cin.tie(nullptr);
    int count;
    std::cin >> count;
    long long best = 0, ending_here = 0;
    for (int i = 0; i < count; ++i) {
        long long value;
        std::cin >> value;
        ending_here = std::max(ending_here + value, 0LL);
        best = std::max(best, ending_here);
    }
    std::cout << best << '\n';
}
