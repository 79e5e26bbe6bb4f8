// Promise: of an exit code only the lowest byte counts: no bits of it can forge a wait status.
// expect: exited 5

#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    puts("HELD the code will be 5: neither a signal's number nor a core flag");
    fflush(stdout);
    // 0x80 and 0x7f are where a wait status has its core flag and its signal.
    syscall(SYS_exit_group, 0x7fffff05L | 0x8000000000L);
    return 1;
}
