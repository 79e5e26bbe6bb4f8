// Promise: registers forged in a signal frame bring no refused call past the filter.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <ucontext.h>
#include <unistd.h>

#define NR_USERFAULTFD 323

// The trap behind the call tells its answer.
__asm__(".text\nforged_call: syscall\nint3\n");
extern const char forged_call[];

static void forge(int number, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    registers[REG_RAX] = NR_USERFAULTFD;
    registers[REG_RDI] = 1;
    registers[REG_RIP] = (greg_t)forged_call;
    (void)number, (void)info;
}

static void tell(int number, siginfo_t *info, void *context) {
    long answer = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX];
    int held = answer == -EPERM || answer == -ENOSYS;
    char line[80];
    int size = snprintf(line, sizeof(line), "%s answer to the forged call: %ld\n",
                        held ? "HELD" : "BROKEN", answer);
    if (write(1, line, (size_t)size) < 0)
        _exit(2);
    (void)number, (void)info;
    _exit(0);
}

int main(void) {
    struct sigaction action = {.sa_sigaction = forge, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    action.sa_sigaction = tell;
    sigaction(SIGTRAP, &action, NULL);
    raise(SIGUSR1);
    printf("BROKEN the frame was not used: nothing was tried\n");
    return 1;
}
