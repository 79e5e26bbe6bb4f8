// Asks once, then thinks for ever about the answer.
#include <iostream>
#include <string>

int main() {
    std::cout << 500'001 << std::endl;
    std::string answer;
    std::cin >> answer;
    for (volatile unsigned thought = 0;; thought = thought + 1) {}
}
