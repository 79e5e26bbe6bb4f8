// Promise: a tracer can neither suspend its child's filter nor read it.
// policies: default build nested
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define SUSPEND_SECCOMP (1 << 21)
#define SECCOMP_GET_FILTER 0x420c

static void refused(const char *what, long result) {
    int is_refusal = errno == EPERM || errno == EACCES || errno == EINVAL || errno == EIO;
    printf("%s %s: %ld, %s\n", result == -1 && is_refusal ? "HELD" : "BROKEN", what, result,
           strerror(errno));
}

int main(void) {
    static char program[8 * 4096];
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    refused("seize with it", ptrace(PTRACE_SEIZE, child, 0, SUSPEND_SECCOMP));
    if (ptrace(PTRACE_SEIZE, child, 0, 0) != 0)
        printf("BROKEN the own child cannot be traced: nothing was tried\n");
    ptrace(PTRACE_INTERRUPT, child, 0, 0);
    waitpid(child, NULL, 0);
    refused("option", ptrace(PTRACE_SETOPTIONS, child, 0, SUSPEND_SECCOMP));
    refused("read", ptrace(SECCOMP_GET_FILTER, child, 0, program));
    kill(child, SIGKILL);
    return 0;
}
