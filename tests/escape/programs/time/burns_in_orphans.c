// Promise: processor time burnt by children that die unwaited counts.
// limits: cpu_time=300ms wall_time=8s
// policies: default build nested
// rungs: v2 v1 v2-bare
// expect: limit cpu_time
// check: cpu_below 1500ms
#include <time.h>
#include <unistd.h>

static void burn(clock_t clocks) {
    clock_t start = clock();
    while (clock() - start < clocks)
        ;
}

int main(void) {
    if (fork() == 0)
        for (;;) {
            burn(CLOCKS_PER_SEC / 100);
            if (fork() > 0)
                _exit(0);  // the child goes on, with a clock that begins at zero
        }
    for (;;)
        pause();
}
