// Three digits a character: its code.
#include <cstdio>
#include <iostream>
#include <string>

int main() {
    std::string task, text;
    std::getline(std::cin, task);
    std::getline(std::cin, text);
    if (task == "encode")
        for (char letter : text) std::printf("%03d", letter);
    else
        for (std::size_t at = 0; at < text.size(); at += 3)
            std::putchar(std::stoi(text.substr(at, 3)));
    std::puts("");
}
