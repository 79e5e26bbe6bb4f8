// Promise: a number of the x32 interface, a second name of each call, ends the program.
// expect: signaled SYS
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
    errno = 0;
    long result = syscall(0x40000000L | 39);
    printf("BROKEN getpid by x32: %ld, errno %d\n", result, errno);
    return 0;
}
