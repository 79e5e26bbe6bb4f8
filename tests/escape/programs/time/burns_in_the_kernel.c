// Promise: time that the kernel works for a program counts, and long calls are cut off.
// limits: cpu_time=300ms wall_time=8s
// expect: limit cpu_time
// check: cpu_below 1500ms
#include <fcntl.h>
#include <sys/uio.h>

static char buffer[1 << 20];

int main(void) {
    struct iovec parts[1024];
    for (int i = 0; i < 1024; i++)
        parts[i] = (struct iovec){buffer, sizeof buffer};
    int zero = open("/dev/zero", O_RDONLY);
    while (readv(zero, parts, 1024) > 0)  // a gibibyte a call
        ;
    return 1;
}
