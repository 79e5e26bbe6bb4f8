// Promise: every number of the x32 interface ends the process that uses it.
// policies: default build nested
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    // execve, ptrace, rt_sigaction and others have numbers of their own there; 335 is a hole.
    long numbers[] = {0, 56, 101, 165, 272, 321, 335, 425, 435, 512, 520, 521, 543, 547, 1000,
                      0x3fffffff};
    int ended = 0, count = sizeof(numbers) / sizeof(numbers[0]);
    for (int i = 0; i < count; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            syscall(0x40000000L | numbers[i], 0, 0, 0, 0, 0);
            _exit(0);
        }
        int status;
        waitpid(pid, &status, 0);
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
            ended++;
        else
            printf("BROKEN number %#lx: status %#x\n", numbers[i], status);
    }
    printf("%s %d numbers ended their callers\n", ended == count ? "HELD" : "BROKEN", ended);
    return 0;
}
