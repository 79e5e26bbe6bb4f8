// Promise: a contest program makes no process that looks almost like a thread.
// policies: strict
// expect: denied clone
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **arguments) {
    int flags = CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_SIGHAND | SIGCHLD;
    long result = syscall(SYS_clone, flags, 0, 0, 0, 0);
    if (result >= 0)
        dprintf(1, "BROKEN %s is past it: %ld, %d\n", arguments[0], result, count);
    for (;;)
        pause();
}
