// Promise: ports and segments of old machines stay closed: iopl, ioperm, modify_ldt, vm86.
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void refused(const char *name, long result) {
    const char *word = result == -1 && (errno == EPERM || errno == ENOSYS) ? "HELD" : "BROKEN";
    printf("%s %s: %ld, %s\n", word, name, result, strerror(errno));
}

int main(void) {
    struct user_desc segment = {.entry_number = 1, .limit = 0xfffff, .seg_32bit = 1,
                                .limit_in_pages = 1, .useable = 1};
    char table[64];
    refused("iopl", syscall(SYS_iopl, 3));
    refused("ioperm", syscall(SYS_ioperm, 0x80, 1, 1));
    refused("modify_ldt, write", syscall(SYS_modify_ldt, 1, &segment, sizeof(segment)));
    refused("modify_ldt, new write", syscall(SYS_modify_ldt, 0x11, &segment, sizeof(segment)));
    refused("modify_ldt, read", syscall(SYS_modify_ldt, 0, table, sizeof(table)));
    refused("set_thread_area", syscall(SYS_set_thread_area, &segment));
    return 0;
}
