// Promise: a fork bomb in which every process forks ends at a time limit, with all of them.
// limits: process_count=64 cpu_time=400ms wall_time=2s
// policies: default build nested
// expect: limit cpu_time | limit wall_time
// check: wall_below 10s
#include <unistd.h>

int main(void) {
    for (;;)
        fork();
}
