// Promise: page tables count as the program's memory, even where they lead to no page of its own.
// limits: memory_bytes=32MiB
// rungs: v2 v1
// expect: limit memory_bytes
#include <stdio.h>
#include <sys/mman.h>

enum { TABLE_REACH = 2 << 20, TABLES = 32768 };

int main(void) {
    size_t size = (size_t)TABLE_REACH * TABLES;
    int kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    volatile char *room = mmap(NULL, size, PROT_READ, kind, -1, 0);
    if (room == MAP_FAILED)
        return 1;
    madvise((void *)room, size, MADV_NOHUGEPAGE);
    for (int i = 0; i < TABLES; i++)
        (void)room[(size_t)i * TABLE_REACH];  // reads the one page of zeroes
    printf("BROKEN %d page tables are there: %d MiB\n", TABLES, TABLES / 256);
}
