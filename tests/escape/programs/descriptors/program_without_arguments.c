// Promise: a program executed without arguments or descriptors gains nothing by it.
// expect: exited 0 | denied clone

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char line[256], *none[] = {NULL}, *environment[] = {"AGAIN=1", NULL};
    if (!getenv("AGAIN")) {
        pid_t child = fork();
        if (child < 0) {
            printf("HELD no child: %s\n", strerror(errno));
            return 0;
        }
        if (child == 0) {
            execve("/proc/self/exe", none, environment);
            printf("HELD not executed again: %s\n", strerror(errno));
            fflush(stdout);
            _exit(errno == EPERM || errno == EACCES || errno == ENOSYS ? 0 : 1);
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (status)
            printf("BROKEN the child ended with %d\n", status);
        return 0;
    }
    // Linux 5.18 and later put an empty argument there; before, argv ran into the environment.
    printf("%s argc is %d\n", argc >= 1 && argv[0] ? "HELD" : "BROKEN", argc);
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (!strncmp(line, "CapEff", 6) || !strncmp(line, "CapPrm", 6))
            printf("%s %s", strtoull(line + 7, NULL, 16) ? "BROKEN" : "HELD", line);
    return 0;
}
