// Leaves a multiple of four.
#include <cstdio>

int main() {
    int count;
    if (std::scanf("%d", &count) == 1) std::printf("%d\n", count % 4);
}
