// Takes 1 for a prime.
#include <cstdio>

int main() {
    int number;
    if (std::scanf("%d", &number) == 1) std::printf("1 %d\n", number - 1);
}
