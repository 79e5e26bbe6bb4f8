// The first tells the first card, and the second hopes that it is the one.
#include <iostream>
#include <string>

int main(int, char** arguments) {
    long long count, card;
    if (std::string(arguments[1]) == "first") std::cin >> count;
    std::cin >> card;
    std::cout << card << std::endl;
}
