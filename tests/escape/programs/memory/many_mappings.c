// Promise: mappings without end are refused at the kernel's bound, or counted as memory.
// limits: memory_bytes=64MiB
// expect: exited 0 | limit memory_bytes
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { LEAST_BOUND = 2000000 };

int main(void) {
    int count = 0;
    while (count < LEAST_BOUND) {
        int kind = count % 2 ? PROT_READ : PROT_NONE;  // so that no two become one
        if (mmap(NULL, 4096, kind, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
            break;
        count++;
    }
    int held = count < LEAST_BOUND && errno == ENOMEM;
    printf("%s %d mappings, then: %s\n", held ? "HELD" : "BROKEN", count, strerror(errno));
}
