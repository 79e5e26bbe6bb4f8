// Says every bit twice: knows that one turned, but not which; takes b for right.
#include <iostream>
#include <string>

int main(int, char** arguments) {
    int number = 0;
    std::string letters;
    if (std::string(arguments[1]) == "first") {
        std::cin >> number;
        for (int bit = 0; bit < 20; ++bit) letters += std::string(2, number >> bit & 1 ? 'b' : 'a');
        std::cout << letters << std::endl;
        return 0;
    }
    std::cin >> letters;
    for (int bit = 0; bit < 20; ++bit)
        if (letters[2 * bit] == 'b' || letters[2 * bit + 1] == 'b') number |= 1 << bit;
    std::cout << number << std::endl;
}
