// Promise: clone3, whose flags no filter can see, makes no child at all.
// policies: default strict build
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    unsigned long long flags[] = {0, CLONE_NEWUSER, CLONE_NEWUSER | CLONE_NEWNS, CLONE_NEWTIME,
                                  CLONE_NEWNET, CLONE_CLEAR_SIGHAND, CLONE_INTO_CGROUP};
    int refused = 0;
    for (int i = 0; i < 7; i++) {
        struct clone_args args = {.flags = flags[i], .exit_signal = SIGCHLD};
        errno = 0;
        long pid = syscall(SYS_clone3, &args, sizeof(args));
        if (pid == 0)
            _exit(0);
        if (pid > 0)
            waitpid((pid_t)pid, NULL, 0);
        if (pid == -1 && (errno == ENOSYS || errno == EPERM))
            refused++;
        else
            printf("BROKEN flags %#llx: %ld, %s\n", flags[i], pid, strerror(errno));
    }
    printf("%s %d sets of flags were refused\n", refused == 7 ? "HELD" : "BROKEN", refused);
    return 0;
}
