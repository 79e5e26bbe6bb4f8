// The second follows a null pointer.
#include <iostream>
#include <string>

int main(int, char** arguments) {
    long long count;
    std::cin >> count;
    volatile int* nothing = nullptr;
    if (std::string(arguments[1]) == "second") *nothing = 1;
    std::cout << count << std::endl;
}
