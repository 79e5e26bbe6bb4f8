// Tries the largest prime first: another right answer.
#include <cstdio>

static bool is_prime(int number) {
    if (number < 2) return false;
    for (int divisor = 2; divisor * divisor <= number; ++divisor)
        if (number % divisor == 0) return false;
    return true;
}

int main() {
    int number;
    if (std::scanf("%d", &number) != 1) return 1;
    for (int prime = number - 2; prime >= 2; --prime)
        if (is_prime(prime) && is_prime(number - prime)) {
            std::printf("%d\n%d\n", prime, number - prime);
            return 0;
        }
}
