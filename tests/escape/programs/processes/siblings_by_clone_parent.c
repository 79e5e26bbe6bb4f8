// Promise: a child of init's own neither outlives the program nor forges its exit code.
// policies: default build nested
// check: wall_below 3s
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static pid_t sibling(void) {
    return syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
}

int main(void) {
    int ends[2];
    char byte = 0;
    if (pipe(ends) != 0)
        return 1;
    pid_t quick = sibling();
    if (quick == 0)
        _exit(77);
    if (sibling() == 0) {
        byte = getppid() == 1;
        if (write(ends[1], &byte, 1) == 1)
            sleep(3);
        dprintf(1, "BROKEN a sibling writes three seconds after the program's end\n");
        _exit(77);
    }
    if (read(ends[0], &byte, 1) != 1 || !byte)
        return 1;
    while (kill(quick, 0) == 0 || errno != ESRCH)  // until init has reaped it
        usleep(1000);
    puts("HELD a sibling ended with 77 and one lives: this program goes on and ends with 0");
}
