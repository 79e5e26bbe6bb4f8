// Promise: a program whose own filter refuses every call, its exit too, ends at cpu_time.
// limits: cpu_time=300ms wall_time=5s
// expect: limit cpu_time
// check: cpu_below 3s
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
    struct sock_filter refuse = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | 1};
    struct sock_fprog program = {1, &refuse};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return 1;
    for (;;)
        syscall(SYS_exit_group, 0);
}
