// Promise: clone makes no child in a new namespace, by no flag and whatever the high bits say.
// policies: default strict build
// expect: exited 0 | denied clone
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int refused = 0;

static void attempt(unsigned long flags) {
    errno = 0;
    long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    if (pid > 0) {
        waitpid((pid_t)pid, NULL, 0);
        printf("BROKEN a child with flags %#lx\n", flags);
    } else if (errno != EPERM && errno != ENOSYS)
        printf("BROKEN flags %#lx: %s\n", flags, strerror(errno));
    else
        refused++;
}

int main(void) {
    unsigned long kinds[] = {CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
                             CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET};
    for (int i = 0; i < 7; i++) {
        attempt(kinds[i]);
        attempt(kinds[i] | CLONE_NEWUSER);
        attempt(kinds[i] | CLONE_VFORK | CLONE_VM);
        attempt(kinds[i] | 1UL << 32);
        attempt(kinds[i] | 1UL << 63);
    }
    printf("%s %d flags were refused\n", refused == 35 ? "HELD" : "BROKEN", refused);
    return 0;
}
