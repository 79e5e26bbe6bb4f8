// Promise: a crash leaves no core, neither here nor with the program that the host gives cores to.
// expect: signaled SEGV
// outputs: core core.*
// check: no_file core
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

int main(void) {
    struct rlimit limit;
    struct rlimit wanted = {RLIM_INFINITY, RLIM_INFINITY};
    getrlimit(RLIMIT_CORE, &limit);
    // Of 0 the kernel still hands the crash to a handler behind a pipe; of 1 it does not.
    if (limit.rlim_max != 1 || limit.rlim_cur != 1)
        printf("BROKEN a core may have %lu bytes\n", (unsigned long)limit.rlim_max);
    if (setrlimit(RLIMIT_CORE, &wanted) == 0)
        printf("BROKEN a core may be of any size\n");
    prctl(PR_SET_DUMPABLE, 1);
    fflush(stdout);
    volatile int *volatile nowhere = (int *)8;
    *nowhere = 1;
    printf("BROKEN it did not crash\n");
    return 0;
}
