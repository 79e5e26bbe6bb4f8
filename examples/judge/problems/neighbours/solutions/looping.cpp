// Wants to skip zeros, but does not move on: spins for ever at the first one.
#include <algorithm>
#include <iostream>
#include <vector>

int main() {
    std::ios::sync_with_stdio(false);
    std::cin.tie(nullptr);
    int count;
    std::cin >> count;
    std::vector<long long> values(count);
    for (auto& value : values) std::cin >> value;
    long long best = values[0], ending_here = 0;
    volatile int i = 0;  // volatile: the loop without end must survive the optimiser
    while (i < count) {
        if (values[i] == 0) continue;
        ending_here = std::max(ending_here + values[i], values[i]);
        best = std::max(best, ending_here);
        i = i + 1;
    }
    std::cout << best << '\n';
}
