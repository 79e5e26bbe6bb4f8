// Promise: a crowd of processes that flood stdout is cut and ended like one.
// limits: output_bytes=64KiB cpu_time=400ms wall_time=4s process_count=40
// policies: default build nested
// expect: limit cpu_time | limit wall_time
// check: truncated stdout
// check: wall_below 8s
// check: daemon_growth 16MiB
#include <string.h>
#include <unistd.h>

int main(void) {
    char block[65536];
    memset(block, 'x', sizeof block);
    for (int i = 0; i < 5; i++)
        fork();
    while (write(1, block, sizeof block) > 0)
        ;
}
