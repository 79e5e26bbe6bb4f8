// Promise: many threads get no more than the one processor that was asked for.
// limits: cpu_count=1
// cc: -pthread
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static double seconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void *spin(void *unused) {
    for (;;)
        __asm__ volatile("");
    return unused;
}

int main(void) {
    pthread_t thread;
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < 4; i++)
        if (pthread_create(&thread, 0, spin, 0) != 0)
            return 1;
    while (seconds(CLOCK_MONOTONIC) - wall < 0.5)
        usleep(10000);
    double share = (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (seconds(CLOCK_MONOTONIC) - wall);
    printf("%s four threads got %.2f processors\n", share < 1.2 ? "HELD" : "BROKEN", share);
    fflush(stdout);
    _exit(0);
}
