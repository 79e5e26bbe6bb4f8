// Promise: chains of processes that fork and die without pause end with the program.
// policies: default build nested
// check: wall_below 5s
#include <stdio.h>
#include <unistd.h>

enum { CHAINS = 8 };

static void hop(int report) {
    setsid();
    for (int hops = 0;; hops++) {
        if (hops == 3 && write(report, "x", 1) != 1)
            _exit(1);
        pid_t next;
        do
            next = fork();
        while (next < 0);  // dead links that init has not reaped yet still count
        if (next > 0)
            _exit(0);
    }
}

int main(void) {
    int ends[2];
    char byte;
    if (pipe(ends) != 0)
        return 1;
    for (int i = 0; i < CHAINS; i++)
        if (fork() == 0)
            hop(ends[1]);
    close(ends[1]);
    for (int i = 0; i < CHAINS; i++)
        if (read(ends[0], &byte, 1) != 1)
            return 1;
    printf("HELD %d chains hop on while the program ends: the host is looked at\n", CHAINS);
}
