// Promise: a contest program that executes another program ends at once.
// policies: strict
// expect: denied execve
#define _GNU_SOURCE
#include <stdio.h>
#include <unistd.h>

int main(int count, char **arguments) {
    long result = execve("/bin/true", arguments, NULL);
    if (result >= 0)
        dprintf(1, "BROKEN %s is past it: %ld, %d\n", arguments[0], result, count);
    for (;;)
        pause();
}
