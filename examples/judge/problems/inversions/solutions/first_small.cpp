// Has room for 100 numbers, and says with exit code 1 that there are more.
#include <cstdio>

int main() {
    int count, row[100], inversions = 0;
    if (std::scanf("%d", &count) != 1 || count > 100) return 1;
    for (int i = 0; i < count && std::scanf("%d", &row[i]) == 1; ++i)
        for (int j = 0; j < i; ++j) inversions += row[j] > row[i];
    std::printf("%d\n", inversions);
}
