// Says every bit ten times: more than one may.
#include <iostream>
#include <string>

int main(int, char** arguments) {
    int number = 0;
    if (std::string(arguments[1]) == "second") return 0;
    std::cin >> number;
    std::string letters;
    for (int bit = 0; bit < 20; ++bit) letters += std::string(10, number >> bit & 1 ? 'b' : 'a');
    std::cout << letters << std::endl;
}
