// Asks for 1000000, 999999 ... and takes the end of input for an answer: asks on into the void.
#include <iostream>

int main() {
    char answer = 0;
    for (int number = 1'000'000; answer != '='; --number) {
        std::cout << number << std::endl;
        std::cin >> answer;
    }
}
