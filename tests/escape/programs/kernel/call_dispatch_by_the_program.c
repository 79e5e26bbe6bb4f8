// Promise: sending system calls to a handler of one's own, and letting some pass, passes no filter.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DISPATCH 59
#define NR_BPF 321
#define ALLOW 0
#define BLOCK 1

static volatile char selector = ALLOW;
static volatile long forced = 1;

static void handle(int number, siginfo_t *info, void *context) {
    selector = ALLOW;
    forced = syscall(NR_BPF, 0, 0, 0) == -1 ? -errno : 0;
    (void)number, (void)info, (void)context;
}

int main(void) {
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &action, NULL);
    if (prctl(DISPATCH, 1, 0, 0, &selector) != 0) {
        int gone = errno == EINVAL || errno == EPERM;
        printf("%s no such dispatch: %s\n", gone ? "HELD" : "BROKEN", strerror(errno));
        return 0;
    }
    errno = 0;
    long direct = syscall(NR_BPF, 0, 0, 0) == -1 ? -errno : 0;
    selector = BLOCK;
    syscall(SYS_getppid);  // goes to the handler, which tries from there
    int held = direct == -EPERM && forced == -EPERM;
    const char *word = held ? "HELD" : "BROKEN";
    printf("%s with dispatch %ld, from the handler %ld\n", word, direct, forced);
    return 0;
}
