// Encodes well, and never ends decoding.
#include <cstdio>
#include <iostream>
#include <string>

int main() {
    std::string task, text;
    std::getline(std::cin, task);
    std::getline(std::cin, text);
    for (volatile bool decodes = task == "decode"; decodes;) {}
    for (char letter : text) std::printf("%03d", letter);
    std::puts("");
}
