/* What a program leaves behind, found and opened as in sandboxd/kernel/files.py. */

enum { MAX_FILES = 1024, MAX_VISITED = 65536, MAX_GLOB_DEPTH = 64, MAX_PATH_BYTES = 4095 };
enum { OUTPUT_FLAGS = O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY };

/* Takes one character, or one byte of no UTF-8, off a text. */
static unsigned take(const char **from) {
    const unsigned char *at = (const unsigned char *)*from;
    int size = *at < 0x80 ? 1 : *at >> 5 == 6 ? 2 : *at >> 4 == 14 ? 3 : *at >> 3 == 30 ? 4 : 0;
    unsigned code = size < 2 ? *at : *at & (0x7fU >> size);
    for (int i = 1; i < size; i++) {
        if (at[i] >> 6 != 2)
            size = 0;
        else
            code = code << 6 | (at[i] & 63);
    }
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (!size || code < least[size] || code > 0x10ffff || code >> 11 == 0xd800 >> 11)
        return *from += 1, 0xdc00 + *at;
    return *from += size, code;
}

/* Matches what follows a "[" and moves behind the "]"; -1 where there is none. */
static int match_set(const char **pattern, unsigned character) {
    const char *at = *pattern + (**pattern == '!'), *end = *at ? strchr(at + 1, ']') : NULL;
    bool is_negated = **pattern == '!', is_in = false;
    if (!end) return -1;
    while (at < end) {
        unsigned low = take(&at), high = low;
        if (*at == '-' && at + 1 < end) at++, high = take(&at);
        is_in |= low <= character && character <= high;
    }
    *pattern = end + 1;
    return is_in != is_negated;
}

/* Tells whether a name matches, as Python's fnmatchcase; goes back to the last star alone. */
static bool matches(const char *pattern, const char *name) {
    const char *star = NULL, *from = NULL;
    while (*name) {
        const char *next = name, *rest = pattern;
        unsigned character = take(&next);
        int is_match = -1;
        if (*pattern == '*') {
            star = ++pattern, from = name;
            continue;
        }
        if (*pattern == '?') {
            rest++, is_match = 1;
        } else if (*pattern == '[') {
            rest++, is_match = match_set(&rest, character);
        }
        if (is_match < 0) {
            rest = pattern, is_match = *rest && take(&rest) == character;
        }
        if (is_match) {
            pattern = rest, name = next;
        } else if (star) {
            take(&from);
            pattern = star, name = from;
        } else {
            return false;
        }
    }
    while (*pattern == '*') pattern++;
    return !*pattern;
}

static char *found[MAX_FILES + 1];
static int found_count, visits_left;

static void add_found(const char *prefix, const char *name) {
    size_t size = strlen(prefix);
    if (found_count > MAX_FILES) return;
    for (int i = found_count; i--;) /* two "**" find one file many times; it counts once */
        if (!strncmp(found[i], prefix, size) && !strcmp(found[i] + size, name)) return;
    if (asprintf(&found[found_count++], "%s%s", prefix, name) < 0) broken();
}

static void walk(int directory_fd, const char *prefix, const char *pattern, int depth) {
    char head[NAME_MAX + 1], *below;
    const char *end = strchrnul(pattern, '/'), *rest = *end ? end + 1 : NULL;
    if (end - pattern > NAME_MAX) return; /* no name is that long */
    snprintf(head, sizeof head, "%.*s", (int)(end - pattern), pattern);
    bool is_any = !strcmp(head, "**");
    if (is_any && rest) walk(directory_fd, prefix, rest, depth);
    visits_left--; /* an empty directory takes time as well */
    int own_fd = openat(directory_fd, ".", DIRECTORY_FLAGS | O_CLOEXEC);
    DIR *directory = own_fd < 0 ? NULL : fdopendir(own_fd);
    if (!directory) broken(); /* it was opened once: only want of something is in the way */
    for (struct dirent *entry; (entry = readdir(directory));) {
        struct stat status;
        const char *name = entry->d_name;
        if (!strcmp(name, ".") || !strcmp(name, "..")) continue;
        if (--visits_left < 0) break;
        if (strlen(prefix) + strlen(name) > MAX_PATH_BYTES) continue;
        bool is_directory = entry->d_type == DT_DIR;
        if (entry->d_type == DT_UNKNOWN &&
            !fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW))
            is_directory = S_ISDIR(status.st_mode);
        if (is_any && !rest && !is_directory) add_found(prefix, name);
        if (!is_any && !matches(head, name)) continue;
        if (!is_any && !rest) add_found(prefix, name);
        if (!is_directory || (!is_any && !rest) || depth >= MAX_GLOB_DEPTH ||
            found_count > MAX_FILES)
            continue;
        int below_fd = open_beneath(directory_fd, name, DIRECTORY_FLAGS, 0);
        if (below_fd < 0) continue;
        if (asprintf(&below, "%s%s/", prefix, name) < 0) broken();
        walk(below_fd, below, is_any ? pattern : rest, depth + 1);
        free(below);
        close(below_fd);
    }
    closedir(directory);
}

static const char *fault_of(int number) {
    if (number == ENOENT || number == ENOTDIR || number == ENAMETOOLONG) return "missing";
    if (number == ELOOP) return "link";
    return number == ENXIO ? "not_regular" : "not_allowed"; /* ENXIO: a socket */
}

/* Opens one file; gives its descriptor, or -1 and its fault. */
static int open_output(int directory_fd, const char *path, long long max_bytes, struct stat *status,
                       const char **fault) {
    int fd = open_beneath(directory_fd, path, OUTPUT_FLAGS, 0);
    if (fd < 0) return *fault = fault_of(errno), -1;
    if (fstat(fd, status)) broken();
    if (S_ISREG(status->st_mode))
        *fault = status->st_size > max_bytes ? "too_large" : NULL;
    else if (S_ISDIR(status->st_mode))
        *fault = "directory";
    else
        *fault = S_ISFIFO(status->st_mode) ? "pipe" : "not_regular";
    if (*fault) close(fd), fd = -1;
    return fd;
}

static void tell_file(int channel, long long job, const char *path, int fd, const char *fault,
                      bool executable) {
    begin("file", fd < 0 ? NULL : "file");
    put(",%lld", job);
    put_text(path);
    fault ? put_text(fault) : put(",null");
    put(",%s", executable ? "true" : "false");
    if (finish(channel, fd)) broken();
    if (fd >= 0) close(fd);
}

static int by_name(const void *one, const void *other) {
    return strcmp(*(char *const *)one, *(char *const *)other);
}

/* Sends what was asked for: each of `wanted` is [path or glob, optional, greatest size]. */
static void hand_out(int channel, long long job, const char *directory, struct value *wanted) {
    int root_fd = open("/", DIRECTORY_FLAGS | O_CLOEXEC), left = MAX_FILES;
    while (*directory == '/') directory++;
    int directory_fd = open_beneath(root_fd, *directory ? directory : ".", DIRECTORY_FLAGS, 0);
    for (; wanted && left >= 0; wanted = wanted->next) {
        const char *pattern = text(list(wanted)), *fault = NULL;
        bool is_glob = strpbrk(pattern, "*?["), any_found = false;
        found_count = 0, visits_left = MAX_VISITED;
        if (directory_fd >= 0 && is_glob)
            walk(directory_fd, "", pattern, 0);
        else if (directory_fd >= 0)
            add_found("", pattern);
        qsort(found, (size_t)found_count, sizeof *found, by_name);
        for (int i = 0; i < found_count && left >= 0; i++) {
            struct stat status = {0};
            int fd =
                open_output(directory_fd, found[i], number(nth(list(wanted), 2)), &status, &fault);
            if (fd < 0 && is_glob && strcmp(fault, "too_large")) continue;
            if (fd < 0 && !is_glob && !strcmp(fault, "missing")) continue;
            any_found = true;
            if (left--) {
                tell_file(channel, job, found[i], fd, fault, fd >= 0 && status.st_mode & S_IXUSR);
            } else {
                if (fd >= 0) close(fd);
                tell_file(channel, job, pattern, -1, "too_large", false);
            }
        }
        while (found_count) free(found[--found_count]);
        if (!any_found && !number(nth(list(wanted), 1)))
            tell_file(channel, job, pattern, -1, "missing", false);
    }
    if (directory_fd >= 0) close(directory_fd);
    close(root_fd);
}
