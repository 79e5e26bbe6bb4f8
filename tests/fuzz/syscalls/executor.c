/* Makes the system calls of a list and says what became of each.
 *
 *     executor LIST BATCH MILLISECONDS
 *
 * LIST: MEMORY_BYTES bytes of memory for the calls to point at, then records of seven 64-bit words:
 * the number and six arguments. An argument from POINTER on is an offset into that memory.
 * BATCH calls are made by one child each time; one that takes longer than MILLISECONDS is killed and
 * the rest goes to a new child. BATCH 0: without any child, as long as it goes; a signal each
 * MILLISECONDS interrupts what waits. BATCH "weigh": no call is made; each one that the filters so
 * far would allow returns ENOSYS.
 *
 * Standard output: for each call two 64-bit words, its fate and its result (or signal).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MEMORY_BYTES = 16384, OUTPUT = 201 };
#define POINTER 0xFACE000000000000ull

enum fate { NOT_MADE, BEGUN, RETURNED, ENDED, SIGNALED, BLOCKED };

struct record {
  uint64_t number, arguments[6];
};
struct result {
  int64_t fate, value;
};

/* In place, without a frame: a child of vfork comes back on the same stack. */
static inline __attribute__((always_inline)) long raw(long number, const long *a) {
#if defined(__x86_64__)
  register long r10 __asm__("r10") = a[3];
  register long r8 __asm__("r8") = a[4];
  register long r9 __asm__("r9") = a[5];
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a[0];
  register long x1 __asm__("x1") = a[1];
  register long x2 __asm__("x2") = a[2];
  register long x3 __asm__("x3") = a[3];
  register long x4 __asm__("x4") = a[4];
  register long x5 __asm__("x5") = a[5];
  __asm__ volatile("svc 0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory");
  return x0;
#else
#error "not an architecture of ours"
#endif
}

static const long nothing[6];

static void make(const struct record *record, struct result *result, char *memory, long self) {
  long arguments[6];
  for (int at = 0; at < 6; at++) {
    uint64_t value = record->arguments[at];
    arguments[at] = (long)(value >= POINTER && value < POINTER + MEMORY_BYTES
                               ? (uint64_t)(uintptr_t)memory + (value - POINTER)
                               : value);
  }
  result->fate = BEGUN;
  long value = raw((long)record->number, arguments);
  if (raw(SYS_gettid, nothing) != self) /* a child that the call itself has made */
    for (;;) raw(SYS_exit, nothing);
  result->value = value;
  result->fate = RETURNED;
}

static void become_child(int batch) {
  close_range(3, ~0u, 0);
  int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  if (batch > 1) {
    int pipes[2];
    setsid();
    if (pipe(pipes) == 0) (void)!open("/workspace", O_RDONLY | O_DIRECTORY);
  }
}

/* Makes calls under one more filter, which asks a tracer that is not there: so the kernel answers
 * ENOSYS, unless another filter is stricter. Nothing can be called any more, not even the end. */
static void weigh(const struct record *records, struct result *results, size_t count) {
  struct sock_filter trace = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_TRACE};
  struct sock_fprog program = {1, &trace};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
    _exit(4);
  for (size_t at = 0; at < count; at++) {
    results[at].fate = BEGUN;
    results[at].value = raw((long)records[at].number, (const long *)records[at].arguments);
    results[at].fate = RETURNED;
  }
  __builtin_trap();
}

/* Lets a child make calls until it is through, dead or late; tells how many it has begun. */
static size_t let_make(const struct record *records, struct result *results, size_t count,
                       char *memory, const struct timespec *patience, int only_weighed) {
  sigset_t child_ended;
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  pid_t pid = fork();
  if (pid == 0) {
    if (only_weighed) weigh(records, results, count);
    become_child((int)count);
    sigprocmask(SIG_UNBLOCK, &child_ended, NULL);
    long self = raw(SYS_gettid, nothing);
    for (size_t at = 0; at < count; at++) make(&records[at], &results[at], memory, self);
    _exit(0);
  }
  if (pid < 0) return 0;
  int status = 0, late = 0;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (sigtimedwait(&child_ended, NULL, patience) < 0 && errno == EAGAIN) {
      late = 1;
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      break;
    }
  }
  if (count > 1) kill(-pid, SIGKILL); /* whatever it has left behind */
  while (waitpid(-1, NULL, WNOHANG) > 0) continue;
  for (size_t at = 0; at < count; at++) {
    if (results[at].fate == RETURNED) continue;
    if (results[at].fate == NOT_MADE) return at;
    results[at].fate = late ? BLOCKED : WIFSIGNALED(status) ? SIGNALED : ENDED;
    results[at].value = late ? 0 : WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
    return at + 1;
  }
  return count;
}

static void say(const void *content, size_t size) {
  while (size > 0) {
    ssize_t written = write(OUTPUT, content, size);
    if (written <= 0) _exit(3);
    content = (const char *)content + written;
    size -= (size_t)written;
  }
}

static void *shared(size_t size) {
  void *place = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) exit(2);
  return place;
}

static void nothing_to_do(int number) { (void)number; }

static void make_all(const struct record *records, struct result *results, size_t count,
                     char *memory, long milliseconds) {
  struct sigaction action = {.sa_handler = nothing_to_do};
  struct timeval interval = {milliseconds / 1000, milliseconds % 1000 * 1000};
  struct itimerval timer = {interval, interval};
  sigaction(SIGALRM, &action, NULL);
  setitimer(ITIMER_REAL, &timer, NULL);
  long self = raw(SYS_gettid, nothing);
  for (size_t at = 0; at < count; at++) {
    make(&records[at], &results[at], memory, self);
    say(&results[at], sizeof *results);
  }
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  int only_weighed = strcmp(argv[2], "weigh") == 0;
  size_t batch = only_weighed ? SIZE_MAX : strtoul(argv[2], NULL, 10);
  long milliseconds = strtol(argv[3], NULL, 10);
  struct timespec patience = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
  struct stat there;
  if (fd < 0 || fstat(fd, &there) || there.st_size < MEMORY_BYTES) return 2;
  size_t count = ((size_t)there.st_size - MEMORY_BYTES) / sizeof(struct record);
  char *whole = mmap(NULL, (size_t)there.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  if (whole == MAP_FAILED || dup2(1, OUTPUT) != OUTPUT) return 2;
  dup2(2, 1); /* the calls have numbers to write to, but not ours */
  close(fd);
  const struct record *records = (const struct record *)(whole + MEMORY_BYTES);
  struct result *results = shared((count + 1) * sizeof *results);

  if (batch == 0) {
    make_all(records, results, count, whole, milliseconds);
    return 0;
  }
  sigset_t child_ended;
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child_ended, NULL);
  for (size_t at = 0, failures = 0; at < count && failures < 100;) {
    size_t size = count - at < batch ? count - at : batch;
    size_t made = let_make(records + at, results + at, size, whole, &patience, only_weighed);
    failures = made ? 0 : failures + 1;
    at += made;
  }
  say(results, count * sizeof *results);
  return 0;
}
