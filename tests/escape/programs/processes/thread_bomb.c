// Promise: threads count as processes, and stop at process_count.
// limits: process_count=20
// cc: -pthread
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void *stay(void *unused) {
    pause();
    return unused;
}

int main(void) {
    pthread_t thread;
    int count = 0, refusal = 0;
    while (count < 200 && (refusal = pthread_create(&thread, NULL, stay, NULL)) == 0)
        count++;
    int held = refusal == EAGAIN && count < 20;
    printf("%s %d threads, then: %s\n", held ? "HELD" : "BROKEN", count, strerror(refusal));
    fflush(stdout);
    _exit(0);
}
