// Promise: a program whose end is hidden from init by its own tracer ends at wall_time.
// limits: wall_time=700ms
// policies: default build nested
// expect: limit wall_time
// check: wall_below 5s
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <unistd.h>

int main(void) {
    int ends[2];
    char seized = 0;
    if (pipe(ends) != 0)
        return 1;
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    if (fork() == 0) {
        char byte = ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) == 0;
        if (write(ends[1], &byte, 1) == 1)
            for (;;)  // never waits: so the kernel keeps the program's end for this tracer
                pause();
        _exit(1);
    }
    if (read(ends[0], &seized, 1) != 1 || !seized)
        return 1;
    _exit(0);
}
