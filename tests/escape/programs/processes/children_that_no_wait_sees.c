// Promise: children that signal no end, which a plain wait passes over, end with the program.
// policies: default build nested
// check: wall_below 3s
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    int unseen = 0;
    for (int i = 0; i < 4; i++) {
        pid_t child = syscall(SYS_clone, 0, 0, 0, 0, 0);  // with no exit signal at all
        if (child == 0) {
            if (i % 2)
                sleep(3);
            _exit(0);
        }
        unseen += child > 0;
    }
    int passed_over = waitpid(-1, NULL, 0) == -1 && errno == ECHILD;
    printf("%s %d children, none of them seen by wait: the host is looked at\n",
           unseen == 4 && passed_over ? "HELD" : "BROKEN", unseen);
}
