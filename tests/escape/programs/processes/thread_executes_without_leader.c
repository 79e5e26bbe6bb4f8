// Promise: a program that its second thread replaces is still the one that is waited for.
// policies: default build nested
// cc: -pthread
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *execute(void *name) {
    char *arguments[] = {name, "again", NULL};
    usleep(50000);  // the first thread is gone by then
    execv(name, arguments);  // the process has no /proc/self/exe any more
    return NULL;
}

int main(int count, char **arguments) {
    pthread_t thread;
    if (count > 1) {
        usleep(200000);  // whoever took the first thread's end for the program's kills it now
        puts("HELD the program that replaced the first lives to its own end");
        return 0;
    }
    if (pthread_create(&thread, NULL, execute, arguments[0]) != 0)
        return 1;
    syscall(SYS_exit, 77);
}
