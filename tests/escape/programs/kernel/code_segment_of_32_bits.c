// Promise: code that switches the processor to 32 bits and calls the kernel from there is ended.
// expect: signaled SYS | signaled SEGV
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

// In 32 bits: mov $20, %eax; int $0x80; then a far return to the 64-bit segment.
static const unsigned char narrow[] = {0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xcb};

int main(void) {
    int rights = PROT_READ | PROT_WRITE | PROT_EXEC;
    char *low = mmap(NULL, 65536, rights, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (low == MAP_FAILED) {
        printf("BROKEN no memory below 4 GiB: nothing was tried\n");
        return 1;
    }
    memcpy(low, narrow, sizeof(narrow));
    unsigned long stack = (unsigned long)low + 60000;
    __asm__ volatile("mov %%rsp, %%r12\n"
                     "mov %0, %%rsp\n"
                     "pushq $0x23\n"
                     "pushq %1\n"
                     "lretq\n"
                     :
                     : "r"(stack), "r"(low)
                     : "memory", "rax", "r12");
    printf("BROKEN it came back\n");
    return 0;
}
