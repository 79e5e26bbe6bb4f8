// Forgets a semicolon.
#include <cstdio>

int main() {
    std::puts("1")
}
