// Wants a second process to count for it.
#include <cstdio>
#include <sys/wait.h>
#include <unistd.h>

int main() {
    if (fork() == 0) {
        std::puts("1");
        return 0;
    }
    wait(nullptr);
}
