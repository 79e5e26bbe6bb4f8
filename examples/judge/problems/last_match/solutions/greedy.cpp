// Takes as many as may be.
#include <algorithm>
#include <cstdio>

int main() {
    int count;
    if (std::scanf("%d", &count) == 1) std::printf("%d\n", std::min(count, 3));
}
