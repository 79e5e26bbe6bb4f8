// Keeps the sum of every subarray before it looks for the largest.
#include <algorithm>
#include <iostream>
#include <vector>

int main() {
    std::ios::sync_with_stdio(false);
    std::cin.tie(nullptr);
    int count;
    std::cin >> count;
    std::vector<long long> values(count), sums;
    for (auto& value : values) std::cin >> value;
    for (int from = 0; from < count; ++from) {
        long long sum = 0;
        for (int to = from; to < count; ++to) sums.push_back(sum += values[to]);
    }
    std::cout << *std::max_element(sums.begin(), sums.end()) << '\n';
}
