// Has room for 1000 numbers, and lets the exception of the 1001st go uncaught.
#include <algorithm>
#include <iostream>
#include <vector>

int main() {
    std::ios::sync_with_stdio(false);
    std::cin.tie(nullptr);
    int count;
    std::cin >> count;
    std::vector<long long> values(1000);
    for (int i = 0; i < count; ++i) std::cin >> values.at(i);
    long long best = values[0], ending_here = 0;
    for (int i = 0; i < count; ++i) {
        ending_here = std::max(ending_here + values[i], values[i]);
        best = std::max(best, ending_here);
    }
    std::cout << best << '\n';
}
