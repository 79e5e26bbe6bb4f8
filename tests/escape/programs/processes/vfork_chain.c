// Promise: processes that wait for vfork children count, and stop at process_count.
// limits: process_count=20
// policies: default build nested
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile int depth;  // all links share this memory

static void deeper(void) {
    pid_t child = depth < 200 ? vfork() : -1;
    if (child == 0) {
        depth++;
        deeper();
        _exit(0);
    }
    if (child < 0) {
        const char *verdict = errno == EAGAIN && depth < 20 ? "HELD" : "BROKEN";
        dprintf(1, "%s a chain of %d, then: %s\n", verdict, depth, strerror(errno));
    }
}

int main(void) {
    deeper();
}
