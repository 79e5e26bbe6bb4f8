// Promise: a stack that may be larger than memory_bytes still counts in it.
// limits: stack_bytes=512MiB memory_bytes=32MiB
// expect: limit memory_bytes
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int deeper(volatile char *above, int depth) {
    volatile char frame[65536];
    memset((char *)frame, above[0], sizeof frame);
    if (depth < 1600)
        return deeper(frame, depth + 1) + frame[1];
    sleep(1);
    return 0;
}

int main(void) {
    char top = 1;
    deeper(&top, 0);
    puts("BROKEN 100 MiB of stack are there");
}
