// Promise: a program that sleeps whenever the kernel's tick might look ends at cpu_time, too.
// limits: cpu_time=200ms wall_time=8s
// expect: limit cpu_time
// check: cpu_below 1s
#include <time.h>

enum { MILLISECOND = 1000000 };

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000LL * MILLISECOND + time.tv_nsec;
}

int main(void) {
    struct timespec pause = {0, MILLISECOND / 10};
    for (;;) {
        long long start = now();  // just woken by a timer: right behind a tick
        while (now() - start < MILLISECOND * 7 / 10)
            ;
        nanosleep(&pause, NULL);
    }
}
