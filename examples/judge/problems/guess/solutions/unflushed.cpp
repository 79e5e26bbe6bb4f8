// Asks, but the question stays in its buffer while it waits for the answer.
#include <cstdio>

int main() {
    int low = 1, high = 1000000;
    for (char answer = 0; answer != '=';) {
        int middle = (low + high) / 2;
        std::printf("%d\n", middle);
        if (std::scanf(" %c", &answer) != 1) return 0;
        if (answer == '<') high = middle - 1;
        if (answer == '>') low = middle + 1;
    }
}
