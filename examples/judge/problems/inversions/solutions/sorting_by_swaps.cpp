// Sorts by swapping neighbours, and counts how often: too slow for many.
#include <cstdio>
#include <utility>
#include <vector>

int main() {
    int count;
    if (std::scanf("%d", &count) != 1) return 1;
    std::vector<int> row(count);
    long long swaps = 0;
    for (int i = 0; i < count && std::scanf("%d", &row[i]) == 1; ++i)
        for (int at = i; at > 0 && row[at - 1] > row[at]; --at, ++swaps)
            std::swap(row[at - 1], row[at]);
    std::printf("%lld\n", swaps);
}
