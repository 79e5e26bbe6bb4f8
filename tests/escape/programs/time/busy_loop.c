// Promise: a busy loop ends at cpu_time, soon after it.
// limits: cpu_time=300ms wall_time=8s
// expect: limit cpu_time
// check: cpu_above 299ms
// check: cpu_below 1s
int main(void) {
    for (;;)
        __asm__ volatile("");
}
