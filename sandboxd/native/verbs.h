/* The verbs of tapes, one short function each. Why each is safe, and why it comes when it comes, is
 * said at its namesake in sandboxd/kernel; reports of failures are the same, word for word. */

static char what[PATH_MAX + 64]; /* what was attempted, where that is more than the verb */

static int fails(int number, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return errno = number, -1;
}

#define TRY(call, ...)                                                                             \
    do {                                                                                           \
        if ((call) < 0) return fails(errno, __VA_ARGS__);                                          \
    } while (0)

/* --- descriptors by name --- */

static struct {
    const char *name;
    int fd;
} named[2 * MAX_DESCRIPTORS + 4];
static int named_count;

static void name_fd(const char *name, int fd) {
    if (named_count == sizeof named / sizeof *named) broken();
    named[named_count].name = name, named[named_count++].fd = fd;
}

static int find(const char *name) {
    for (int i = named_count; i--;)
        if (!strcmp(named[i].name, name)) return named[i].fd;
    return -1;
}

static int descriptor(const struct value *value) {
    if (!value || value->kind != DESCRIPTOR) return (int)number(value);
    int fd = find(value->text);
    return fd < 0 ? broken(), -1 : fd;
}

/* --- files and mounts --- */

static int write_file(const char *path, const char *content) {
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return fails(errno, "%s", path);
    ssize_t size = write(fd, content, strlen(content));
    int number = errno;
    close(fd);
    if (size == (ssize_t)strlen(content)) return 0;
    return fails(size < 0 ? number : EIO, "%s", path);
}

static int do_write_file(struct value *a) { return write_file(text(a), text(a->next)); }

static int do_mount(struct value *a) {
    const char *source = text(a), *target = text(nth(a, 1)), *kind = text(nth(a, 2));
    TRY(mount(source, target, kind, (unsigned long)number(nth(a, 3)), text(nth(a, 4))),
        "mount %s on %s", *kind ? kind : source, target);
    return 0;
}

static int do_unmount(struct value *a) {
    TRY(umount2(text(a), MNT_DETACH), "umount %s", text(a));
    return 0;
}

static int do_make_owned(struct value *a) {
    const char *path = text(a);
    mode_t mode = (mode_t)number(nth(a, 1));
    uid_t id = (uid_t)number(nth(a, 2));
    TRY(mkdir(path, 0777) || chown(path, id, id) || chmod(path, mode) ? -1 : 0, "%s", path);
    return 0;
}

static int do_mask(struct value *a) {
    if (access(text(a), F_OK)) return errno == ENOENT ? 0 : fails(errno, "%s", text(a));
    TRY(mount("/dev/null", text(a), "", MS_BIND, ""), "mount /dev/null on %s", text(a));
    return 0;
}

static int do_mask_directory(struct value *a) {
    struct stat status;
    if (stat(text(a), &status)) return errno == ENOENT ? 0 : fails(errno, "%s", text(a));
    if (!S_ISDIR(status.st_mode)) return 0;
    TRY(mount("empty", text(a), "tmpfs", (unsigned long)number(a->next),
              "size=4096,nr_inodes=1,mode=555"),
        "mount tmpfs on %s", text(a));
    return 0;
}

static int open_beneath(int directory_fd, const char *path, int flags, mode_t mode) {
    struct open_how how = {(__u64)(flags | O_CLOEXEC), mode,
                           RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, directory_fd, path, &how, sizeof how);
}

enum { DIRECTORY_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW };

/* Opens a directory, given without its first slash, after making what is missing of it. */
static int make_directories(const char *path, uid_t id) {
    char name[NAME_MAX + 1];
    int fd = open("/", DIRECTORY_FLAGS | O_CLOEXEC);
    for (const char *end; fd >= 0; path = end + 1) {
        end = strchrnul(path, '/');
        snprintf(name, sizeof name, "%.*s", (int)(end - path), path);
        if (end - path > NAME_MAX) return close(fd), fails(ENAMETOOLONG, "%s", name);
        int made = !mkdirat(fd, name, 0755), error = errno;
        /* a read-only parent of a writable place must exist: the next call tells */
        if (!made && error != EEXIST && error != EROFS) return close(fd), fails(error, "%s", name);
        int below_fd = open_beneath(fd, name, DIRECTORY_FLAGS, 0);
        error = errno;
        close(fd);
        if (below_fd < 0) return fails(error, "openat2 %s", name);
        if (made && fchown(below_fd, id, id))
            return error = errno, close(below_fd), fails(error, "make_directories");
        fd = below_fd;
        if (!*end) break;
    }
    return fd;
}

static int do_make_directories(struct value *a) {
    int fd = make_directories(text(a), (uid_t)number(a->next));
    return fd < 0 ? -1 : close(fd);
}

/* Makes one new file of what follows the path in `a`. */
static int make_file(const char *verb, int directory_fd, const char *name, struct value *a) {
    uid_t id = (uid_t)number(nth(a, 2));
    int source_fd = descriptor(nth(a, 3)), error;
    off_t offset = number(nth(a, 4)), end = offset + number(nth(a, 5));
    int fd = open_beneath(directory_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (fd < 0) return fails(errno, "openat2 %s", name);
    while (offset < end) {
        ssize_t size = sendfile(fd, source_fd, &offset, (size_t)(end - offset));
        error = errno;
        if (size <= 0)
            return close(fd), size < 0 ? fails(error, "%s", verb) : fails(EIO, "%s", name);
    }
    if (fchown(fd, id, id) || fchmod(fd, (mode_t)number(a->next)))
        return error = errno, close(fd), fails(error, "%s", verb);
    return close(fd);
}

/* Opens the directory of the path in `a`, which is cut there; gives the name, too. */
static int directory_of(struct value *a, const char **name) {
    char *slash = strrchr(text(a), '/');
    if (slash) *slash = 0;
    *name = slash ? slash + 1 : a->text;
    return make_directories(slash ? a->text : "", (uid_t)number(nth(a, 2)));
}

static int do_place_file(struct value *a) {
    const char *name;
    int directory_fd = directory_of(a, &name);
    if (directory_fd < 0) return -1;
    int result = make_file("place_file", directory_fd, name, a), error = errno;
    close(directory_fd);
    return errno = error, result;
}

static int do_replace_file(struct value *a) {
    const char *name, *new_name = ".sandboxd-new";
    char path[PATH_MAX];
    snprintf(path, sizeof path, "/%s", text(a));
    int directory_fd = directory_of(a, &name);
    if (directory_fd < 0) return -1;
    int result = 0, error;
    unlinkat(directory_fd, new_name, 0); /* of one that was cut off, or a program's */
    if (make_file("replace_file", directory_fd, new_name, a) ||
        renameat(directory_fd, new_name, directory_fd, name)) {
        error = errno;
        unlinkat(directory_fd, new_name, 0);
        result = fails(error, "%s", path);
    }
    error = errno;
    close(directory_fd);
    return errno = error, result;
}

/* --- identity --- */

static int do_set_ids(struct value *a) {
    uid_t id = (uid_t)number(a), saved = (uid_t)number(a->next);
    return setresgid(id, id, id) || setresuid(id, id, saved) ? -1 : 0;
}

static int do_set_no_groups(struct value *a) { return (void)a, setgroups(0, NULL); }

static int do_drop_bounding(struct value *a) {
    int last = 0;
    for ((void)a; !prctl(PR_CAPBSET_DROP, last, 0, 0, 0); last++) continue;
    if (errno != EINVAL || last <= CAP_AUDIT_READ)
        return fails(errno, "prctl PR_CAPBSET_DROP %d", last);
    TRY(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "prctl PR_CAP_AMBIENT");
    return 0;
}

static int do_drop_capabilities(struct value *a) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0}}, left[2];
    (void)a;
    TRY(syscall(SYS_capset, &header, none), "capset");
    TRY(syscall(SYS_capget, &header, left), "capget");
    if (memcmp(left, none, sizeof none) || prctl(PR_CAPBSET_READ, 0, 0, 0, 0) == 1)
        return fails(EPERM, "capabilities are left");
    return 0;
}

/* --- namespaces and cgroups --- */

static int do_unshare(struct value *a) {
    TRY(unshare((int)number(a)), "unshare");
    return 0;
}

static int do_set_names(struct value *a) {
    TRY(sethostname(text(a), strlen(text(a))), "sethostname");
    TRY(setdomainname(text(a->next), strlen(text(a->next))), "setdomainname");
    return 0;
}

static int do_new_keyring(struct value *a) {
    (void)a;
    TRY(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL), "keyctl join_session");
    TRY(syscall(SYS_keyctl, KEYCTL_SETPERM, KEY_SPEC_SESSION_KEYRING, 0), "keyctl setperm");
    return 0;
}

static int do_join_cgroups(struct value *a) {
    for (; a; a = a->next)
        if (write(descriptor(a), "0", 1) != 1) return -1;
    return 0;
}

static int do_die_with_parent(struct value *a) { return (void)a, prctl(PR_SET_PDEATHSIG, SIGKILL); }

static int do_set_dumpable(struct value *a) { return prctl(PR_SET_DUMPABLE, number(a), 0, 0, 0); }

static int do_request_netlink(struct value *a) {
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char room[4096];
    } answer;
    char request[256];
    size_t size = strlen(text(a)) / 2;
    for (size_t i = 0; i < size; i++)
        if (i == sizeof request ||
            sscanf(text(a) + 2 * i, "%2hhx", (unsigned char *)request + i) != 1)
            broken();
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0 || send(fd, request, size, 0) < 0) return -1;
    ssize_t got = recv(fd, &answer, sizeof answer, 0);
    if (got < 0) return -1;
    close(fd);
    if (got < (ssize_t)(sizeof answer.header + sizeof answer.error.error)) broken();
    if (answer.header.nlmsg_type != NLMSG_ERROR || answer.error.error)
        return fails(-answer.error.error, "netlink request");
    return 0;
}

/* --- the program's process --- */

static int do_set_session(struct value *a) { return (void)a, setsid(); }

static int do_take_terminal(struct value *a) { return ioctl(descriptor(a), TIOCSCTTY, 0); }

static int do_set_umask(struct value *a) { return umask((mode_t)number(a)), 0; }

static int do_set_affinity(struct value *a) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (struct value *one = list(a); one; one = one->next) {
        if (number(one) < 0 || number(one) >= CPU_SETSIZE) return fails(EINVAL, "set_affinity");
        CPU_SET((size_t)number(one), &set);
    }
    return sched_setaffinity(0, sizeof set, &set);
}

static int do_set_rlimits(struct value *a) {
    for (struct value *pair = list(a); pair; pair = pair->next) {
        int resource = (int)number(list(pair));
        struct rlimit limit;
        if (getrlimit(resource, &limit)) return -1;
        rlim_t value = (rlim_t)number(nth(list(pair), 1));
        limit.rlim_cur = limit.rlim_max = value < limit.rlim_max ? value : limit.rlim_max;
        if (setrlimit(resource, &limit)) return -1;
    }
    return 0;
}

static int do_reset_signals(struct value *a) {
    sigset_t none;
    (void)a;
    signal(SIGPIPE, SIG_DFL), signal(SIGXFSZ, SIG_DFL), signal(SIGCHLD, SIG_DFL),
        signal(SIGINT, SIG_DFL);
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL);
}

static int do_set_descriptors(struct value *a) {
    int count = length(a), high[MAX_DESCRIPTORS];
    if (count > MAX_DESCRIPTORS) broken();
    for (int i = 0; i < count; i++, a = a->next) {
        int fd = descriptor(a);
        high[i] = fd < count ? fcntl(fd, F_DUPFD_CLOEXEC, count) : fd;
        if (high[i] < 0) return -1;
    }
    for (int i = 0; i < count; i++)
        if (dup2(high[i], i) < 0) return -1;
    TRY(close_range((unsigned)count, ~0U, CLOSE_RANGE_CLOEXEC), "close_range");
    return 0;
}

static int do_enter_directory(struct value *a) {
    char path[PATH_MAX];
    TRY(chdir(text(a)), "%s", text(a));
    if (syscall(SYS_getcwd, path, sizeof path) < 0) return -1;
    if (*path != '/') return fails(EPERM, "%s", text(a));
    return 0;
}

static int do_no_new_privileges(struct value *a) {
    return (void)a, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static int do_restrict(struct value *a) {
    long long abi = number(a);
    __u64 rights[3] = {(__u64)number(nth(a, 1)), (__u64)number(nth(a, 2)),
                       (__u64)number(nth(a, 3))};
    int ruleset_fd = (int)syscall(SYS_landlock_create_ruleset, rights,
                                  abi < 4   ? 8
                                  : abi < 6 ? 16
                                            : 24,
                                  0);
    TRY(ruleset_fd, "landlock_create_ruleset");
    for (struct value *place = list(nth(a, 4)); place; place = place->next) {
        struct {
            __u64 access;
            __s32 fd;
        } __attribute__((packed)) below = {(__u64)number(nth(list(place), 1)),
                                           open(text(list(place)), O_PATH | O_CLOEXEC)};
        TRY(below.fd, "%s", text(list(place)));
        TRY(syscall(SYS_landlock_add_rule, ruleset_fd, 1, &below, 0), "landlock_add_rule");
        close(below.fd);
    }
    TRY(syscall(SYS_landlock_restrict_self, ruleset_fd, 0), "landlock_restrict_self");
    return close(ruleset_fd);
}

static int install(struct value *a, unsigned flags) {
    struct sock_filter filter[BPF_MAXINSNS];
    size_t size = (size_t)number(nth(a, 2));
    if (size > sizeof filter || size % sizeof *filter) broken();
    ssize_t got = pread(descriptor(a), filter, size, number(nth(a, 1)));
    if (got != (ssize_t)size) return fails(EIO, "filter of another size");
    struct sock_fprog program = {(unsigned short)(size / sizeof *filter), filter};
    int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    TRY(fd, "seccomp set_mode_filter");
    return fd;
}

static int do_install_filter(struct value *a) { return install(a, 0); }

static int do_install_notices(struct value *a) {
    int channel = descriptor(nth(a, 3)), listener_fd;
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.align = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec part = {"listener", 8};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    /* From here on every call but one is asked about, and nobody answers yet. */
    if ((listener_fd = install(a, SECCOMP_FILTER_FLAG_NEW_LISTENER)) < 0) return -1;
    *(int *)CMSG_DATA(&control.align) = listener_fd;
    if (sendmsg(channel, &header, MSG_NOSIGNAL) < 0) __builtin_trap(); /* no call is left to us */
    return close(listener_fd);
}

static char **strings(struct value *from, bool are_pairs) {
    char **all = calloc((size_t)length(from) + 1, sizeof *all), **to = all;
    if (!all) broken();
    for (; from; from = from->next) {
        if (!are_pairs)
            *to++ = (char *)text(from);
        else if (asprintf(to++, "%s=%s", text(list(from)), text(nth(list(from), 1))) < 0)
            broken();
    }
    return all;
}

static int do_execute(struct value *a) {
    char **argv = strings(list(a), false), **env = strings(list(a->next), true), path[2 * PATH_MAX];
    const char *places = "", *program = argv[0];
    int answer = ENOENT;
    for (char **one = env; *one; one++)
        if (!strncmp(*one, "PATH=", 5)) places = *one + 5;
    if (write(descriptor(nth(a, 2)), "E", 1) != 1) return -1;
    for (const char *end; program; places = end + 1) {
        struct stat status;
        int size;
        end = strchrnul(places, ':');
        if (strchr(program, '/'))
            size = snprintf(path, sizeof path, "%s", program), end = "";
        else if (end == places)
            size = snprintf(path, sizeof path, "./%s", program);
        else
            size = snprintf(path, sizeof path, "%.*s/%s", (int)(end - places), places, program);
        if (size >= (int)sizeof path) return fails(ENAMETOOLONG, "%s", program);
        if (!access(path, X_OK) && !(!stat(path, &status) && S_ISDIR(status.st_mode))) {
            execve(path, argv, env); /* once at most: a policy may end the job at a second time */
            return fails(errno, "%s", path);
        }
        if (!access(path, F_OK)) answer = EACCES;
        if (!*end) break;
    }
    return fails(answer, "%s", program ? program : "");
}

/* --- tapes --- */

#define VERB(name) {#name, do_##name}

static const struct {
    const char *name;
    int (*execute)(struct value *);
} verbs[] = {
    VERB(die_with_parent), VERB(drop_bounding), VERB(drop_capabilities),
    VERB(enter_directory), VERB(execute),       VERB(install_filter),
    VERB(install_notices), VERB(join_cgroups),  VERB(make_directories),
    VERB(make_owned),      VERB(mask),          VERB(mask_directory),
    VERB(mount),           VERB(new_keyring),   VERB(no_new_privileges),
    VERB(place_file),      VERB(replace_file),  VERB(request_netlink),
    VERB(reset_signals),   VERB(restrict),      VERB(set_affinity),
    VERB(set_descriptors), VERB(set_dumpable),  VERB(set_ids),
    VERB(set_names),       VERB(set_no_groups), VERB(set_rlimits),
    VERB(set_session),     VERB(set_umask),     VERB(take_terminal),
    VERB(unmount),         VERB(unshare),       VERB(write_file),
};

struct failure {
    int number;
    char stage[64], detail[512];
};

/* Executes every operation in order; false, and why, at the first that fails. */
static bool execute(struct value *tape, struct failure *failure) {
    for (; tape; tape = tape->next) {
        const char *stage = text(list(tape)), *name = text(nth(list(tape), 1));
        size_t i = 0;
        while (i < sizeof verbs / sizeof *verbs && strcmp(verbs[i].name, name)) i++;
        snprintf(what, sizeof what, "%s", name);
        if (i == sizeof verbs / sizeof *verbs)
            fails(0, "%s: KeyError: '%s'", name, name);
        else if (verbs[i].execute(nth(list(tape), 2)) >= 0)
            continue;
        failure->number = errno;
        snprintf(failure->stage, sizeof failure->stage, "%s", stage);
        snprintf(failure->detail, sizeof failure->detail, "%s", what);
        return false;
    }
    return true;
}
