// Divides by zero.
#include <cstdio>

int main() {
    volatile int zero = 0;
    std::printf("%d\n", 100 / zero);
}
