// Promise: a busy thread whose process has lost its first thread ends at cpu_time.
// limits: cpu_time=300ms wall_time=8s
// cc: -pthread
// expect: limit cpu_time
// check: cpu_below 1500ms
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *spin(void *unused) {
    for (;;)
        __asm__ volatile("");
    return unused;
}

int main(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, spin, NULL) != 0)
        return 1;
    syscall(SYS_exit, 0);
}
