// Spins for 1 and crashes for anything else: the crash comes sooner, but the first test decides.
#include <cstdio>
#include <cstdlib>

int main() {
    int number;
    if (std::scanf("%d", &number) != 1) return 1;
    for (volatile bool spins = number == 1; spins;) {}
    std::abort();
}
