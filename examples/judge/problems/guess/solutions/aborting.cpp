// Aborts in the middle of the talk.
#include <cstdlib>
#include <iostream>
#include <string>

int main() {
    std::cout << 500'000 << std::endl;
    std::string answer;
    std::cin >> answer;
    std::abort();
}
