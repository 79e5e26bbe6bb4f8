// For each sum, which thing reached it first.
#include <cstdio>
#include <vector>

int main() {
    int count, capacity;
    if (std::scanf("%d %d", &count, &capacity) != 2) return 1;
    std::vector<int> weights(count + 1), reached(capacity + 1, 0);
    reached[0] = -1;
    for (int thing = 1; thing <= count; ++thing) {
        if (std::scanf("%d", &weights[thing]) != 1) return 1;
        for (int sum = capacity; sum >= weights[thing]; --sum)
            if (!reached[sum] && reached[sum - weights[thing]]) reached[sum] = thing;
    }
    std::vector<int> chosen;
    int sum = capacity;
    while (!reached[sum]) --sum;
    for (; sum > 0; sum -= weights[reached[sum]]) chosen.push_back(reached[sum]);
    std::printf("%zu\n", chosen.size());
    for (int thing : chosen) std::printf("%d ", thing);
}
