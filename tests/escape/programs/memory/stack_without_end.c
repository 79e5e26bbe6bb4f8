// Promise: endless recursion ends with SEGV at stack_bytes.
// limits: stack_bytes=8MiB
// expect: signaled SEGV
// check: peak_below 32MiB
#include <string.h>

static int deeper(volatile char *above, int depth) {
    volatile char frame[4096];
    memset((char *)frame, above[0], sizeof frame);
    return depth == 1 << 20 ? 0 : deeper(frame, depth + 1) + frame[1];
}

int main(void) {
    char top = 1;
    return deeper(&top, 0);
}
