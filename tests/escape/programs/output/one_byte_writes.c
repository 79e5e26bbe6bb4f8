// Promise: a flood of single bytes is cut like any other.
// limits: output_bytes=4KiB cpu_time=400ms wall_time=4s
// expect: limit cpu_time | limit wall_time
// check: truncated stdout
// check: wall_below 8s
// check: daemon_growth 16MiB
#include <unistd.h>

int main(void) {
    while (write(1, "x", 1) == 1)
        ;
    return 1;
}
