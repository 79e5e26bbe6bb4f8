// Promise: a program that blocks and handles SIGXCPU ends at cpu_time all the same.
// limits: cpu_time=300ms wall_time=8s
// expect: limit cpu_time
// check: cpu_below 1s
#include <signal.h>
#include <stddef.h>

static void go_on(int number) {
    (void)number;
}

int main(void) {
    sigset_t all;
    sigfillset(&all);
    signal(SIGXCPU, go_on);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (;;)
        __asm__ volatile("");
}
