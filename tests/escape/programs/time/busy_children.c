// Promise: the processor time of children counts while their parent sleeps.
// limits: cpu_time=300ms wall_time=8s
// policies: default build nested
// expect: limit cpu_time
// check: cpu_below 1500ms
#include <unistd.h>

int main(void) {
    for (int i = 0; i < 4; i++)
        if (fork() == 0)
            for (;;)
                __asm__ volatile("");
    for (;;)
        pause();
}
