// Promise: a program whose first thread has exited while another lives on ends at wall_time.
// limits: wall_time=500ms
// cc: -pthread
// expect: limit wall_time
// check: wall_below 5s
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *stay(void *unused) {
    for (;;)
        pause();
    return unused;
}

int main(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, stay, NULL) != 0)
        return 1;
    syscall(SYS_exit, 0);
}
