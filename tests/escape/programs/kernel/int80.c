// Promise: a system call through the 32-bit gate, whose numbers mean other calls, ends the program.
// expect: signaled SYS | signaled SEGV
#include <stdio.h>

int main(void) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
    printf("BROKEN getpid by the old gate: %ld\n", result);
    return 0;
}
