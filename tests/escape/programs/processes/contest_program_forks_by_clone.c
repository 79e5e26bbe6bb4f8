// Promise: a contest program makes no process by clone, not with meaningless high bits either.
// policies: strict
// expect: denied clone
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **arguments) {
    long result = syscall(SYS_clone, 1UL << 32 | SIGCHLD, 0, 0, 0, 0);
    if (result >= 0)
        dprintf(1, "BROKEN %s is past it: %ld, %d\n", arguments[0], result, count);
    for (;;)
        pause();
}
