/* zygote and init, compiled: as runtime/zygote.py when its root is built, and runtime/init.py.
 *
 * Executes the same tapes over the same channel, so it decides as little as they do: nothing. It is
 * here because a small process is cloned in a fraction of the time. The Python ones are the
 * reference and say why; where there was no compiler, they serve. Built by hatch_build.py. */

#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"
#include "verbs.h"
#include "files.h"

/* Clones this process, as fork does; into a cgroup if one is given. */
static pid_t clone_self(unsigned long long flags, int cgroup_fd, int *pidfd) {
    struct clone_args arguments = {
        .flags = flags | CLONE_PIDFD | (cgroup_fd < 0 ? 0 : CLONE_INTO_CGROUP),
        .pidfd = (__u64)(uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = cgroup_fd < 0 ? 0 : (__u64)cgroup_fd,
    };
    return (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
}

/* Closes every descriptor that nobody has named, but the standard ones and the channel. */
static void close_unnamed(int channel) {
    for (unsigned from = 3, next; from <= INT_MAX; from = next + 1) {
        next = channel >= (int)from ? (unsigned)channel : ~0U;
        for (int i = 0; i < named_count; i++)
            if (named[i].fd >= (int)from && (unsigned)named[i].fd < next)
                next = (unsigned)named[i].fd;
        if (next > from && close_range(from, next - 1, 0)) broken();
        if (next == ~0U) return;
    }
}

static void tell_failure(int channel, const struct failure *failure) {
    begin("failed", NULL);
    put_text(failure->stage);
    put(",%d", failure->number);
    put_text(failure->detail);
    finish(channel, -1);
}

/* --- init --- */

static bool is_resident; /* whether this init outlives its programs */

static _Noreturn void give_up(int channel, const char *stage, int number, const char *detail) {
    struct failure failure = {.number = number};
    snprintf(failure.stage, sizeof failure.stage, "%s", stage);
    snprintf(failure.detail, sizeof failure.detail, "%s", detail);
    tell_failure(channel, &failure);
    _exit(0);
}

static void must_execute(int channel, struct value *tape) {
    struct failure failure;
    if (execute(tape, &failure)) return;
    tell_failure(channel, &failure);
    _exit(0);
}

static long long clock_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Opens the program's terminal: its master for the daemon, its slave as the program's stdio. */
static void open_terminal(int channel, long long job, struct value *a) {
    struct winsize size = {(unsigned short)number(a), (unsigned short)number(nth(a, 1)), 0, 0};
    struct termios attributes;
    char path[32];
    int unlock = 0, which, slave_fd = -1;
    int master_fd = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    snprintf(path, sizeof path, "/dev/pts/ptmx");
    if (master_fd >= 0 && !ioctl(master_fd, TIOCSPTLCK, &unlock) &&
        !ioctl(master_fd, TIOCGPTN, &which)) {
        snprintf(path, sizeof path, "/dev/pts/%d", which);
        slave_fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    }
    if (slave_fd < 0 || ioctl(slave_fd, TIOCSWINSZ, &size) || tcgetattr(slave_fd, &attributes))
        give_up(channel, "terminal", errno, path);
    attributes.c_lflag &= number(nth(a, 2)) ? ~0U : ~(tcflag_t)ECHO;
    if (tcsetattr(slave_fd, TCSANOW, &attributes)) give_up(channel, "terminal", errno, path);
    begin("terminal", "master");
    put(",%lld", job);
    if (finish(channel, master_fd)) give_up(channel, "terminal", errno, "send");
    close(master_fd);
    name_fd("stdin", slave_fd);
    name_fd("stdout", slave_fd);
}

enum { LEAST_OURS = 10 };

/* Moves a descriptor away from the numbers that a program with more than three may get. */
static int move_up(int *fd) {
    if (*fd >= LEAST_OURS) return 0;
    int high = fcntl(*fd, F_DUPFD_CLOEXEC, LEAST_OURS);
    if (high < 0) return -1;
    close(*fd);
    *fd = high;
    return 0;
}

/* Tells that what was asked of a resident was not done. */
static void tell_undone(int channel, long long job, const struct failure *failure) {
    begin("undone", NULL);
    put(",%lld", job);
    put_text(failure->stage);
    put(",%d", failure->number);
    put_text(failure->detail);
    if (finish(channel, -1)) broken();
}

/* Tells that a program did not start, though it should have; then there is no more init, either,
 * unless it is a resident: nothing of the program runs. */
static pid_t lose(int channel, long long job, struct failure *failure) {
    if (!is_resident) {
        tell_failure(channel, failure);
        _exit(0);
    }
    tell_undone(channel, job, failure);
    return -1;
}

/* Clones the program into its cgroup and reports; -1 when it did not start.
 *
 * CLONE_VFORK holds init back until the program has executed or ended, so that one read of the
 * report pipe tells everything. */
static pid_t start(int channel, long long job, struct value *tape) {
    struct failure failure = {0};
    char record[1 + sizeof failure];
    int report[2], pidfd;
    if (pipe2(report, O_CLOEXEC)) give_up(channel, "init", errno, "pipe2");
    if (move_up(&report[1])) give_up(channel, "init", errno, "fcntl");
    pid_t pid = clone_self(CLONE_VFORK, find("program_cgroup"), &pidfd);
    if (!pid) {
        name_fd("report", report[1]);
        if (!execute(tape, &failure) && write(report[1], &failure, sizeof failure) < 0) broken();
        _exit(127);
    }
    long long clock = clock_now();
    if (pid < 0) {
        struct failure refused = {errno, "init", "clone3"};
        close(report[0]), close(report[1]);
        return lose(channel, job, &refused);
    }
    close(report[1]), close(pidfd);
    ssize_t size = read(report[0], record, sizeof record);
    close(report[0]);
    if (size == 1) {
        begin("started", NULL);
        put(",%lld,%lld", job, clock);
        if (finish(channel, -1)) broken();
        return pid;
    }
    waitpid(pid, NULL, 0);
    /* Died between clone and exec without a word: the daemon knows whether the kernel killed it. */
    if (size <= 0) {
        struct failure died = {0, "program", "the program died before exec"};
        return lose(channel, job, &died);
    }
    memcpy(&failure, record + (size == sizeof record),
           sizeof failure); /* behind the record, or alone */
    if (strcmp(failure.stage, "exec") && strcmp(failure.stage, "working_directory"))
        return lose(channel, job, &failure);
    begin("not_started", NULL);
    put(",%lld,%d", job, failure.number);
    put_text(failure.detail);
    if (finish(channel, -1)) broken();
    return -1;
}

/* Reaps orphans until the program ends; gives its wait status. */
static int reap_until(pid_t pid, int channel, int children_fd) {
    struct pollfd fds[] = {{children_fd, POLLIN, 0}, {channel, POLLIN, 0}};
    for (;;) {
        struct signalfd_siginfo signals[16];
        struct message message;
        int status, end = -1;
        if (poll(fds, 2, -1) < 0) continue;
        if (fds[1].revents) {
            receive(channel, &message);
            if (!strcmp(text(message.name), "kill")) kill(-1, SIGKILL);
            if (!strcmp(text(message.name), "signal"))
                kill(-pid, (int)number(nth(message.fields, 1)));
            release(&message);
        }
        if (fds[0].revents && read(children_fd, signals, sizeof signals) < 0 && errno != EAGAIN)
            broken();
        for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;)
            if (ended == pid) end = status;
        if (end >= 0) return end;
    }
}

/* Kills every process of this pid namespace but ourselves, and reaps them all. */
static void kill_all(void) {
    if (waitpid(-1, NULL, WNOHANG) < 0) return; /* nobody is left: an orphan would be our child */
    kill(-1, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0) continue;
}

static long long microseconds(struct timeval time) {
    return time.tv_sec * 1000000LL + time.tv_usec;
}

static void tell_end(int channel, long long job, int status, long long clock) {
    struct rusage used;
    struct statvfs space;
    if (getrusage(RUSAGE_CHILDREN, &used) || statvfs("/workspace", &space))
        give_up(channel, "init", errno, "");
    begin("ended", NULL);
    put(",%lld,%d,%lld,%lld,%lld,[", job, status, clock, microseconds(used.ru_utime),
        microseconds(used.ru_stime));
    put("%s%s%s]", space.f_bavail ? "" : "\"scratch_bytes\"",
        space.f_bavail || space.f_favail ? "" : ",", space.f_favail ? "" : "\"file_count\"");
    if (finish(channel, -1)) broken();
}

/* Starts a program with the descriptors that came along, which are closed then. */
static pid_t start_given(int channel, struct message *message, long long job, struct value *tape,
                         struct value *terminal) {
    int known = named_count;
    bool are_many = false; /* more than three for the program */
    for (int i = 0; i < message->fd_count; i++) are_many |= !strncmp(message->fds[i].name, "fd", 2);
    for (int i = 0; i < message->fd_count; i++) {
        if (are_many && move_up(&message->fds[i].fd)) give_up(channel, "init", errno, "fcntl");
        name_fd(message->fds[i].name, message->fds[i].fd);
    }
    if (terminal->kind == LIST) open_terminal(channel, job, list(terminal));
    pid_t pid = start(channel, job, tape);
    if (find("stdin") >= 0 && terminal->kind == LIST) close(find("stdin"));
    for (int i = 0; i < message->fd_count; i++) close(message->fds[i].fd);
    message->fd_count = 0;
    named_count = known;
    return pid;
}

#include "resident.h"

/* Serves one program from its start to its end; tells whether it was the last. */
static bool serve(int channel, int children_fd) {
    struct message message;
    receive(channel, &message);
    if (!strcmp(text(message.name), "stay")) attend(channel, children_fd);
    if (strcmp(text(message.name), "start")) return release(&message), false;
    struct value *a = message.fields, *outputs = nth(a, 3);
    long long job = number(a);
    bool is_last = number(nth(a, 5));
    int known = named_count;
    for (int i = 0; i < message.fd_count; i++) name_fd(message.fds[i].name, message.fds[i].fd);
    must_execute(channel, list(nth(a, 1)));
    named_count = known;
    pid_t pid = start_given(channel, &message, job, list(nth(a, 2)), nth(a, 4));
    if (pid > 0) {
        int status = reap_until(pid, channel, children_fd);
        long long clock = clock_now();
        kill_all();
        if (outputs->kind == LIST) {
            begin("stopped", NULL); /* what follows is not the program's time */
            put(",%lld", job);
            if (finish(channel, -1)) broken();
            hand_out(channel, job, text(list(outputs)), list(list(outputs)->next));
        }
        tell_end(channel, job, status, clock);
    }
    release(&message);
    return is_last;
}

static _Noreturn void be_init(int go_fd, int program_cgroup_fd, struct message *message) {
    eventfd_t maps_written;
    sigset_t children;
    int channel = find("channel");
    if (eventfd_read(go_fd, &maps_written)) broken();
    for (int i = named_count = 0; i < message->fd_count; i++)
        if (strcmp(message->fds[i].name, "channel") && strcmp(message->fds[i].name, "sandbox"))
            name_fd(message->fds[i].name, message->fds[i].fd);
    if (program_cgroup_fd >= 0) name_fd("program_cgroup", program_cgroup_fd);
    close_unnamed(channel);
    prctl(PR_SET_NAME, "sandboxd-init");
    must_execute(channel, list(nth(message->fields, 4)));
    sigemptyset(&children), sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, NULL);
    int children_fd = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    if (children_fd < 0) give_up(channel, "init", errno, "signalfd");
    begin("ready", NULL);
    if (finish(channel, -1)) broken();
    while (!serve(channel, children_fd)) continue;
    _exit(0);
}

/* --- zygote --- */

/* Clones one sandbox, maps its ids, and hands its pidfd to the daemon. */
static void clone_sandbox(int channel, struct message *message) {
    struct value *a = message->fields, *owner = nth(a, 3);
    const char *stage = "clone", *maps[] = {"uid_map", "gid_map"};
    int sandbox_fd = find("sandbox"), leaves[] = {-1, -1}, pidfd = -1;
    char path[64];
    pid_t pid = -1;
    snprintf(what, sizeof what, "clone");
    int go_fd = eventfd(0, EFD_CLOEXEC);
    if (go_fd < 0) goto failed;
    if (sandbox_fd >= 0) {
        leaves[0] = openat(sandbox_fd, "init", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (leaves[0] < 0 && errno == ENOENT)
            leaves[0] = openat(sandbox_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        leaves[1] = openat(sandbox_fd, "program", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (leaves[0] < 0 || leaves[1] < 0) goto failed;
    }
    snprintf(what, sizeof what, "clone3");
    pid = clone_self(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC |
                         CLONE_NEWUTS,
                     leaves[0], &pidfd);
    if (!pid) be_init(go_fd, leaves[1], message);
    if (pid < 0) goto failed;
    stage = "id_maps";
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, maps[i]);
        if (write_file(path, text(nth(a, 1 + i)))) goto failed;
    }
    if (owner->kind == NUMBER && sandbox_fd >= 0) {
        stage = "cgroup_hand_over"; /* the kernel asks for the leaf's, and the common ancestor's */
        const char *files[] = {"cgroup.procs", "program/cgroup.procs"};
        for (int i = 0; i < 2; i++) {
            snprintf(what, sizeof what, "%s", files[i]);
            if (fchownat(sandbox_fd, files[i], (uid_t)number(owner), (gid_t)-1, 0)) goto failed;
        }
    }
    stage = "cloned";
    snprintf(what, sizeof what, "%s", stage);
    if (eventfd_write(go_fd, 1)) goto failed;
    begin("cloned", "pidfd");
    put(",%lld", number(a));
    if (!finish(channel, pidfd)) goto done;
failed:;
    int reason = errno;
    if (pidfd >= 0) syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    begin("failed", NULL);
    put(",%lld", number(a));
    put_text(stage);
    put(",%d", reason);
    put_text(what);
    if (finish(channel, -1)) broken();
done:
    for (int i = 0; i < 2; i++)
        if (leaves[i] >= 0) close(leaves[i]);
    if (go_fd >= 0) close(go_fd);
    if (pidfd >= 0) close(pidfd);
}

/* Serves on the channel whose number is the one argument, in the root that is built and entered. */
int main(int count, char **arguments) {
    int channel = count == 2 ? atoi(arguments[1]) : -1;
    if (prctl(PR_SET_NAME, "sandboxd-zygote") || prctl(PR_SET_PDEATHSIG, SIGKILL)) broken();
    if (fcntl(channel, F_SETFD, FD_CLOEXEC)) broken();
    signal(SIGCHLD, SIG_IGN); /* the kernel reaps inits; pidfds still fire */
    begin("root_ready", NULL);
    if (finish(channel, -1)) broken();
    for (struct message message;; release(&message)) {
        receive(channel, &message);
        named_count = 0;
        for (int i = 0; i < message.fd_count; i++) name_fd(message.fds[i].name, message.fds[i].fd);
        if (!strcmp(text(message.name), "furnish"))
            must_execute(channel, list(message.fields));
        else
            clone_sandbox(channel, &message);
    }
}
