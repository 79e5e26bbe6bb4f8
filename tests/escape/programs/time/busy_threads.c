// Promise: the processor time of all threads together ends at cpu_time.
// limits: cpu_time=300ms wall_time=8s
// cc: -pthread
// expect: limit cpu_time
// check: cpu_below 1500ms
#include <pthread.h>

static void *spin(void *unused) {
    for (;;)
        __asm__ volatile("");
    return unused;
}

int main(void) {
    pthread_t thread;
    for (int i = 0; i < 8; i++)
        if (pthread_create(&thread, 0, spin, 0) != 0)
            return 1;
    pthread_join(thread, 0);
}
