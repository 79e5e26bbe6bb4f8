// Counts for ever, to itself.
int main() {
    for (volatile unsigned number = 0;; number = number + 1) {}
}
