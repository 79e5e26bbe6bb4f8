// Plays by a recursion without end, which its stack does not stand.
#include <cstdio>

static int taken(volatile int count) { return count == 0 ? 0 : 1 + taken(count + 1); }

int main() {
    int count;
    if (std::scanf("%d", &count) == 1) std::printf("%d\n", taken(count));
}
