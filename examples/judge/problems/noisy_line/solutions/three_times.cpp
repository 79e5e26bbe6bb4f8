// Says every bit three times; the majority is right.
#include <iostream>
#include <string>

int main(int, char** arguments) {
    int number = 0;
    std::string letters;
    if (std::string(arguments[1]) == "first") {
        std::cin >> number;
        for (int bit = 0; bit < 20; ++bit) letters += std::string(3, number >> bit & 1 ? 'b' : 'a');
        std::cout << letters << std::endl;
        return 0;
    }
    std::cin >> letters;
    for (int bit = 0; bit < 20; ++bit) {
        int count = 0;
        for (int at = 3 * bit; at < 3 * bit + 3; ++at) count += letters[at] == 'b';
        number |= (count > 1) << bit;
    }
    std::cout << number << std::endl;
}
