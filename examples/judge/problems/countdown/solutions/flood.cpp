// Never stops counting.
#include <cstdio>

int main() {
    for (long number = 1;; ++number) std::printf("%ld\n", number);
}
