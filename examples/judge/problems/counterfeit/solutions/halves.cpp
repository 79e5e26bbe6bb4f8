// Weighs one half against the other: too often for many.
#include <iostream>

int main() {
    int first = 1, count;
    std::cin >> count;
    while (count > 1) {
        int half = count / 2;
        std::cout << "? " << first << ' ' << first + half << ' ' << half << std::endl;
        char answer = 0;
        if (!(std::cin >> answer)) return 0;
        if (answer == '<') first += half;
        if (answer == '=') first += 2 * half;
        count = answer == '=' ? count - 2 * half : half;
    }
    std::cout << "! " << first << std::endl;
}
