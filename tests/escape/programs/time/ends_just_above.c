// Promise: a program that ends by itself just above cpu_time has exceeded it.
// limits: cpu_time=200ms wall_time=8s
// expect: limit cpu_time
#include <time.h>

int main(void) {
    struct timespec used;
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    while (used.tv_sec == 0 && used.tv_nsec < 200200000);
}
