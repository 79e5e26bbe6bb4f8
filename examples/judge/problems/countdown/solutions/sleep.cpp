// Counts with pauses.
#include <unistd.h>

int main() { sleep(1000); }
