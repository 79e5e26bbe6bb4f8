// Promise: memory counts, though the first thread of the process that has it is gone.
// limits: memory_bytes=64MiB
// cc: -pthread
// expect: limit memory_bytes
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *allocate(void *unused) {
    usleep(100000);  // the first thread is gone by then, or soon
    for (int i = 0; i < 24; i++)
        memset(malloc(8 << 20), 1, 8 << 20);
    sleep(1);
    dprintf(1, "BROKEN 192 MiB are there\n");
    _exit(0);
    return unused;
}

int main(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, allocate, NULL) != 0)
        return 1;
    syscall(SYS_exit, 0);
}
