// Called as testlib's: INPUT OUTPUT ANSWER. Exits with 0: right, 1: wrong, 2: malformed, 3: our fault.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>

[[noreturn]] static void leave(int code, const std::string& text) {
    std::cerr << text << '\n';
    std::exit(code);
}

static bool is_prime(long number) {
    if (number < 2) return false;
    for (long divisor = 2; divisor * divisor <= number; ++divisor)
        if (number % divisor == 0) return false;
    return true;
}

int main(int, char** arguments) {
    std::ifstream input(arguments[1]), output(arguments[2]);
    long number, first, second;
    std::string more;
    if (!(input >> number)) leave(3, "cannot read the input");
    if (!(output >> first >> second)) leave(2, "these are no two numbers");
    if (output >> more) leave(2, "there is more than two numbers");
    if (first + second != number) leave(1, "their sum is another one");
    if (!is_prime(first) || !is_prime(second)) leave(1, "one is no prime");
    leave(0, "right");
}
