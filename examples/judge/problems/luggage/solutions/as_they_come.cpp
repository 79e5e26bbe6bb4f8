// Takes each thing that still fits, in their order.
#include <cstdio>
#include <vector>

int main() {
    int count, capacity;
    if (std::scanf("%d %d", &count, &capacity) != 2) return 1;
    std::vector<int> chosen;
    for (int thing = 1, weight; thing <= count && std::scanf("%d", &weight) == 1; ++thing)
        if (weight <= capacity) {
            capacity -= weight;
            chosen.push_back(thing);
        }
    std::printf("%zu\n", chosen.size());
    for (int thing : chosen) std::printf("%d ", thing);
}
