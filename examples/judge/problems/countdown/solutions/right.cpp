// Counts down.
#include <cstdio>

int main() {
    int number;
    if (std::scanf("%d", &number) != 1) return 1;
    for (; number; --number) std::printf("%d\n", number);
}
