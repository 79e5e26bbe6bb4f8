// Weighs one third against another.
#include <iostream>

int main() {
    int first = 1, count;
    std::cin >> count;
    while (count > 1) {
        int third = (count + 2) / 3;
        if (2 * third > count) third = count / 2;
        std::cout << "? " << first << ' ' << first + third << ' ' << third << std::endl;
        char answer;
        std::cin >> answer;
        if (answer == '<') first += third;
        if (answer == '=') first += 2 * third;
        count = answer == '=' ? count - 2 * third : third;
    }
    std::cout << "! " << first << std::endl;
}
