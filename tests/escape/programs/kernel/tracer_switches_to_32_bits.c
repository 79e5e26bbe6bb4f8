// Promise: a tracer that sends its child to the 32-bit segment gets it killed, not past the filter.
// policies: default build nested
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

// mov $20, %eax; int $0x80; int3
static const unsigned char narrow[] = {0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xcc};

int main(void) {
    int rights = PROT_READ | PROT_WRITE | PROT_EXEC;
    char *low = mmap(NULL, 4096, rights, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (low == MAP_FAILED) {
        printf("BROKEN no memory below 4 GiB: nothing was tried\n");
        return 1;
    }
    memcpy(low, narrow, sizeof(narrow));
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    struct user_regs_struct registers;
    ptrace(PTRACE_GETREGS, child, 0, &registers);
    registers.cs = 0x23;
    registers.rip = (unsigned long)low;
    registers.orig_rax = (unsigned long)-1;
    if (ptrace(PTRACE_SETREGS, child, 0, &registers) != 0)
        printf("BROKEN the registers cannot be set: nothing was tried\n");
    ptrace(PTRACE_CONT, child, 0, 0);
    waitpid(child, &status, 0);
    int killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
    printf("%s status of the child: %#x\n", killed ? "HELD" : "BROKEN", status);
    if (!killed)
        kill(child, SIGKILL);
    return 0;
}
