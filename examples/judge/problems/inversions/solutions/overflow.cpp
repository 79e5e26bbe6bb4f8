// A Fenwick tree, but the count has 32 bits.
#include <cstdio>
#include <vector>

int main() {
    int count;
    if (std::scanf("%d", &count) != 1) return 1;
    std::vector<int> tree(count + 1);
    unsigned inversions = 0;
    for (int i = 0, number; i < count && std::scanf("%d", &number) == 1; ++i) {
        inversions += i;
        for (int at = number; at > 0; at -= at & -at) inversions -= tree[at];
        for (int at = number; at <= count; at += at & -at) ++tree[at];
    }
    std::printf("%u\n", inversions);
}
