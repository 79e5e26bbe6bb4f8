// Promise: a whole program of 32 bits ends at its first system call: no filter was made for those.
// expect: signaled SYS
// cc: -m32 -nostdlib -static -fno-pie -no-pie -fno-stack-protector
static const char broken[] = "BROKEN a program of 32 bits writes\n";

static long call(long number, long first, long second, long third) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result)
                     : "a"(number), "b"(first), "c"(second), "d"(third) : "memory");
    return result;
}

void _start(void) {
    call(4, 1, (long)broken, sizeof broken - 1);
    call(1, 0, 0, 0);
    for (;;) {
    }
}
