// Promise: a crash writes no core, whatever the program asks for.
// expect: signaled SEGV
// outputs: core*
// check: no_file core
#include <stddef.h>
#include <sys/resource.h>

int main(void) {
    struct rlimit limit = {1 << 20, 1 << 20};
    volatile int *volatile nowhere = NULL;
    setrlimit(RLIMIT_CORE, &limit);
    *nowhere = 1;
}
