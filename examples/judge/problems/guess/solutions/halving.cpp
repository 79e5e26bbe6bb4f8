// Halves what is left.
#include <iostream>

int main() {
    int low = 1, high = 1'000'000;
    for (char answer = 0; answer != '=';) {
        int middle = (low + high) / 2;
        std::cout << middle << std::endl;
        std::cin >> answer;
        if (answer == '<') high = middle - 1;
        if (answer == '>') low = middle + 1;
    }
}
