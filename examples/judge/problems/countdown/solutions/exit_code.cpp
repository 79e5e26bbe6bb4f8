// Counts right, and ends with another exit code than 0.
#include <cstdio>

int main() {
    int number;
    if (std::scanf("%d", &number) != 1) return 1;
    for (; number; --number) std::printf("%d\n", number);
    return 3;
}
