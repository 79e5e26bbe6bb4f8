// Promise: a tracer that turns an allowed call into a refused one is refused by the filter, too.
// policies: default build nested
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR_IO_URING_SETUP 425

int main(void) {
    static char parameters[120];
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        errno = 0;
        long result = syscall(SYS_getppid, 1, parameters);
        _exit(result == -1 && errno == EPERM ? 7 : result >= 0 ? 8 : 9);
    }
    int status, rewritten = 0;
    waitpid(child, &status, 0);
    ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD);
    while (WIFSTOPPED(status)) {
        struct user_regs_struct registers;
        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            ptrace(PTRACE_GETREGS, child, 0, &registers);
            if (registers.orig_rax == SYS_getppid && registers.rax == (unsigned long)-ENOSYS) {
                registers.orig_rax = NR_IO_URING_SETUP;
                rewritten = ptrace(PTRACE_SETREGS, child, 0, &registers) == 0;
            }
        }
        if (ptrace(PTRACE_SYSCALL, child, 0, 0) != 0)
            break;
        waitpid(child, &status, 0);
    }
    int held = rewritten && WIFEXITED(status) && WEXITSTATUS(status) == 7;
    printf("%s rewritten: %d, status %#x\n", held ? "HELD" : "BROKEN", rewritten, status);
    return 0;
}
