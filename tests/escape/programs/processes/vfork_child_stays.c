// Promise: a program that waits in the kernel for its vfork child ends at wall_time.
// limits: wall_time=500ms
// policies: default build nested
// expect: limit wall_time
// check: wall_below 5s
#include <stdio.h>
#include <unistd.h>

int main(void) {
    if (vfork() == 0)
        for (;;)
            pause();
    puts("BROKEN the program goes on beside its vfork child");
}
