// Writes one number only.
#include <cstdio>

int main() {
    int number;
    if (std::scanf("%d", &number) == 1) std::printf("%d\n", number);
}
