// Promise: a number that is harmless in 64 bits is not taken by the 32-bit gate either.
// expect: signaled SYS | signaled SEGV
#include <stdio.h>

// 21 is access in 64 bits, which a policy allows, and mount in 32 bits.
int main(void) {
    long result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(21L), "b"(0L), "c"(0L), "d"(0L), "S"(0L), "D"(0L)
                     : "memory", "r8", "r9", "r10", "r11");
    printf("BROKEN mount by the old gate: %ld\n", result);
    return 0;
}
