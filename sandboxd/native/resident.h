/* init of a sandbox that stays, as runtime/resident.py. */

enum { MAX_RESIDENTS = 64 };

static struct {
    pid_t pid;
    long long number;
} residents[MAX_RESIDENTS];
static int resident_count;

static pid_t pid_of(long long job) {
    for (int i = 0; i < resident_count; i++)
        if (residents[i].number == job) return residents[i].pid;
    return 0;
}

/* Kills all processes of a session; those that are born meanwhile, too. */
static void end_session(pid_t leader) {
    static pid_t known[8192];
    int count = 0, before;
    do {
        DIR *processes = opendir("/proc");
        before = count;
        if (!processes) broken();
        for (struct dirent *entry; (entry = readdir(processes));) {
            pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
            bool is_known = pid <= 1 || getsid(pid) != leader;
            for (int i = 0; i < count && !is_known; i++) is_known = known[i] == pid;
            if (is_known || count == sizeof known / sizeof *known) continue;
            known[count++] = pid;
            kill(pid, SIGKILL);
        }
        closedir(processes);
    } while (count > before);
}

static void tell_done(int channel, long long job) {
    begin("done", NULL);
    put(",%lld", job);
    if (finish(channel, -1)) broken();
}

static void obey(int channel) {
    struct message message;
    struct failure failure;
    receive(channel, &message);
    const char *name = text(message.name);
    struct value *a = message.fields;
    int known = named_count;
    if (!strcmp(name, "exec")) {
        pid_t pid = start_given(channel, &message, number(a), list(nth(a, 1)), nth(a, 2));
        if (pid > 0) {
            if (resident_count == MAX_RESIDENTS) broken();
            residents[resident_count].pid = pid;
            residents[resident_count++].number = number(a);
        }
    } else if (!strcmp(name, "do")) {
        for (int i = 0; i < message.fd_count; i++) name_fd(message.fds[i].name, message.fds[i].fd);
        if (execute(list(nth(a, 1)), &failure))
            tell_done(channel, number(a));
        else
            tell_undone(channel, number(a), &failure);
        named_count = known;
    } else if (!strcmp(name, "read")) {
        hand_out(channel, number(a), text(nth(a, 1)), list(nth(a, 2)));
        tell_done(channel, number(a));
    } else if (!strcmp(name, "signal") && pid_of(number(a))) {
        kill(-pid_of(number(a)), (int)number(nth(a, 1)));
    } else if (!strcmp(name, "end") && pid_of(number(a))) {
        end_session(pid_of(number(a)));
    } else if (!strcmp(name, "all")) {
        kill(-1, (int)number(a));
    }
    release(&message);
}

/* Does what the daemon says, and reports each end, until it is gone. */
static _Noreturn void attend(int channel, int children_fd) {
    struct pollfd fds[] = {{children_fd, POLLIN, 0}, {channel, POLLIN, 0}};
    is_resident = true;
    for (;;) {
        struct signalfd_siginfo signals[16];
        struct rusage used;
        int status;
        if (poll(fds, 2, -1) < 0) continue;
        if (fds[1].revents) obey(channel);
        if (fds[0].revents && read(children_fd, signals, sizeof signals) < 0 && errno != EAGAIN)
            broken();
        for (pid_t ended; (ended = wait4(-1, &status, WNOHANG, &used)) > 0;)
            for (int i = 0; i < resident_count; i++)
                if (residents[i].pid == ended) {
                    begin("ended", NULL);
                    put(",%lld,%d,%lld,%lld,%lld,[]", residents[i].number, status, clock_now(),
                        microseconds(used.ru_utime), microseconds(used.ru_stime));
                    if (finish(channel, -1)) broken();
                    residents[i] = residents[--resident_count];
                    break;
                }
    }
}
