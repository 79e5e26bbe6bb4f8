// Promise: a storm of timer signals, a million a second, ends at a time limit.
// limits: cpu_time=300ms wall_time=3s
// expect: limit cpu_time | limit wall_time
// check: wall_below 8s
#include <signal.h>
#include <stddef.h>
#include <sys/time.h>
#include <unistd.h>

static volatile int count;

static void tick(int number) {
    count += number;
}

int main(void) {
    struct itimerval storm = {{0, 1}, {0, 1}};
    signal(SIGALRM, tick);
    signal(SIGVTALRM, tick);
    if (setitimer(ITIMER_REAL, &storm, NULL) != 0 || setitimer(ITIMER_VIRTUAL, &storm, NULL) != 0)
        return 1;
    for (;;)
        pause();
}
