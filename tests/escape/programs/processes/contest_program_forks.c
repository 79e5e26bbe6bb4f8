// Promise: a contest program that forks ends at once, before there is a child.
// policies: strict
// expect: denied fork
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **arguments) {
    long result = syscall(SYS_fork);
    if (result >= 0)
        dprintf(1, "BROKEN %s is past it: %ld, %d\n", arguments[0], result, count);
    for (;;)
        pause();
}
