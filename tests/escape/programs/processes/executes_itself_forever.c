// Promise: a program that executes itself over and over starts no limit anew.
// limits: cpu_time=300ms wall_time=8s
// policies: default build nested
// expect: limit cpu_time
// check: cpu_below 3s
#include <stdio.h>
#include <unistd.h>

int main(int count, char **arguments) {
    execv("/proc/self/exe", arguments);
    perror("execv");
    return count;
}
