// Promise: a contest program that executes an open file ends at once.
// policies: strict
// expect: denied execveat
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **arguments) {
    int fd = open("/bin/true", O_RDONLY);
    long result = syscall(SYS_execveat, fd, "", arguments, NULL, AT_EMPTY_PATH);
    if (result >= 0)
        dprintf(1, "BROKEN %s is past it: %ld, %d\n", arguments[0], result, count);
    for (;;)
        pause();
}
