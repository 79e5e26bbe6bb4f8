// What differs from the rest: exclusive or.
#include <iostream>
#include <string>

int main(int, char** arguments) {
    long long result = 0, count, card;
    if (std::string(arguments[1]) == "second") std::cin >> result;
    std::cin >> count;
    while (count-- && std::cin >> card) result ^= card;
    std::cout << result << std::endl;
}
