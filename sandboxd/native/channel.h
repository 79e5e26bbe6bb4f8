/* Messages of the channel, as in runtime/channel.py: JSON arrays, descriptors along by SCM_RIGHTS.
 *
 * What comes is the daemon's, so a message that is none ends this process: nothing goes on half. */

enum { MAX_DATAGRAM_BYTES = 32 << 10, MAX_MESSAGE_BYTES = 8 << 20, MAX_DEPTH = 8 };
enum { MAX_DESCRIPTORS = 32 };

enum kind { NOTHING, TRUTH, NUMBER, TEXT, LIST, DESCRIPTOR };

struct value {
    enum kind kind;
    long long number;    /* of a NUMBER or a TRUTH */
    char *text;          /* of a TEXT; the name of a DESCRIPTOR */
    struct value *first; /* of a LIST */
    struct value *next;  /* in the list around this one */
};

struct message {
    struct value *name, *fields;
    struct {
        const char *name;
        int fd;
    } fds[MAX_DESCRIPTORS];
    int fd_count;
    char *content;
    struct value *values;
};

static _Noreturn void broken(void) { _exit(70); }

/* --- read --- */

struct reader {
    char *at;
    struct value *free;
};

static struct value *read_value(struct reader *from, int depth);

static unsigned read_hex(const char *digits) {
    unsigned code = 0;
    for (int i = 0; i < 4; i++) {
        const char *all = "0123456789abcdef";
        const char *digit = digits[i] ? strchr(all, tolower((unsigned char)digits[i])) : NULL;
        if (!digit) broken();
        code = code << 4 | (unsigned)(digit - all);
    }
    return code;
}

static char *put_character(char *to, unsigned code) {
    if (code >= 0xdc80 && code <= 0xdcff)
        *to++ = (char)(code - 0xdc00); /* one byte of no UTF-8 */
    else if (code < 0x80)
        *to++ = (char)code;
    else if (code < 0x800)
        *to++ = (char)(0xc0 | code >> 6), *to++ = (char)(0x80 | (code & 63));
    else {
        if (code < 0x10000)
            *to++ = (char)(0xe0 | code >> 12);
        else
            *to++ = (char)(0xf0 | code >> 18), *to++ = (char)(0x80 | (code >> 12 & 63));
        *to++ = (char)(0x80 | (code >> 6 & 63)), *to++ = (char)(0x80 | (code & 63));
    }
    return to;
}

/* Reads a text in place: decoded, it is never longer. */
static char *read_text(struct reader *from) {
    char *text = ++from->at, *to = text;
    for (char *at = text;; at++) {
        if (*at == '"') {
            *to = 0, from->at = at + 1;
            return text;
        }
        if ((unsigned char)*at < 32) broken();
        if (*at != '\\') {
            *to++ = *at;
        } else if (*++at == 'u') {
            unsigned code = read_hex(at + 1);
            at += 4;
            if (code >> 10 == 0xd800 >> 10 && at[1] == '\\' && at[2] == 'u') {
                code = 0x10000 + ((code & 0x3ff) << 10) + (read_hex(at + 3) & 0x3ff);
                at += 6;
            }
            if (!code) broken(); /* no text of ours holds one, and C would end there */
            to = put_character(to, code);
        } else {
            const char *known = "\"\\/bfnrt", *found = *at ? strchr(known, *at) : NULL;
            if (!found) broken();
            *to++ = "\"\\/\b\f\n\r\t"[found - known];
        }
    }
}

static struct value *read_list(struct reader *from, int depth) {
    struct value *first = NULL, **last = &first;
    if (*++from->at == ']') return from->at++, NULL;
    for (;; from->at++) {
        *last = read_value(from, depth + 1);
        last = &(*last)->next;
        if (*from->at == ']') return from->at++, first;
        if (*from->at != ',') broken();
    }
}

static bool read_word(struct reader *from, const char *word) {
    if (strncmp(from->at, word, strlen(word))) return false;
    return from->at += strlen(word), true;
}

static struct value *read_value(struct reader *from, int depth) {
    if (depth > MAX_DEPTH) broken();
    struct value *value = from->free++;
    *value = (struct value){0};
    if (*from->at == '"') {
        value->kind = TEXT, value->text = read_text(from);
    } else if (*from->at == '[') {
        value->kind = LIST, value->first = read_list(from, depth);
    } else if (read_word(from, "{\"fd\":")) {
        if (*from->at != '"') broken();
        value->kind = DESCRIPTOR, value->text = read_text(from);
        if (*from->at++ != '}') broken();
    } else if (read_word(from, "null")) {
        value->kind = NOTHING;
    } else if (read_word(from, "true")) {
        value->kind = TRUTH, value->number = 1;
    } else if (read_word(from, "false")) {
        value->kind = TRUTH;
    } else {
        char *end;
        errno = 0;
        value->kind = NUMBER;
        value->number = *from->at == '-' ? strtoll(from->at, &end, 10)
                                         : (long long)strtoull(from->at, &end, 10);
        if (end == from->at || errno) broken();
        from->at = end;
    }
    return value;
}

static const char *text(const struct value *value) {
    if (!value || value->kind != TEXT) broken();
    return value->text;
}

static long long number(const struct value *value) {
    if (!value || (value->kind != NUMBER && value->kind != TRUTH)) broken();
    return value->number;
}

static struct value *list(const struct value *value) {
    if (!value || value->kind != LIST) broken();
    return value->first;
}

static struct value *nth(struct value *value, int n) {
    while (n-- && value) value = value->next;
    return value;
}

static int length(const struct value *value) {
    int count = 0;
    for (; value; value = value->next) count++;
    return count;
}

/* Receives one message; ends this process when the other side is gone, or says what is none. */
static void receive(int channel, struct message *message) {
    union {
        char room[CMSG_SPACE(sizeof(int) * MAX_DESCRIPTORS)];
        struct cmsghdr align;
    } control;
    memset(message, 0, sizeof *message);
    message->content = malloc(MAX_DATAGRAM_BYTES + 1);
    if (!message->content) broken();
    struct iovec part = {message->content, MAX_DATAGRAM_BYTES};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    ssize_t size = recvmsg(channel, &header, MSG_CMSG_CLOEXEC);
    if (size < 0 && errno == ECONNRESET) { /* told once; what was sent before is still there */
        header.msg_controllen = sizeof control;
        size = recvmsg(channel, &header, MSG_CMSG_CLOEXEC);
    }
    if (size <= 0) _exit(0);
    if (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) broken();
    int fds[MAX_DESCRIPTORS], count = 0;
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    if (rights && rights->cmsg_type == SCM_RIGHTS) {
        count = (int)((rights->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(rights), sizeof(int) * (size_t)count);
    }
    if (size == 1 &&
        *message->content == '+') { /* what exceeds a datagram: the last one is memory */
        struct stat memory;
        if (!count || fstat(fds[--count], &memory) || memory.st_size > MAX_MESSAGE_BYTES) broken();
        free(message->content);
        message->content = malloc((size_t)memory.st_size + 1);
        if (!message->content) broken();
        size = pread(fds[count], message->content, (size_t)memory.st_size, 0);
        if (size != memory.st_size) broken();
        close(fds[count]);
    }
    message->content[size] = 0;
    message->values =
        malloc(((size_t)size / 2 + MAX_DEPTH + 3) * sizeof(struct value)); /* one takes two bytes */
    if (!message->values) broken();
    struct reader reader = {message->content, message->values};
    struct value *whole = read_value(&reader, 0);
    if (*reader.at) broken();
    message->name = list(whole), message->fields = nth(message->name, 2);
    text(message->name);
    for (struct value *name = list(nth(message->name, 1)); name; name = name->next) {
        if (message->fd_count == count) broken();
        message->fds[message->fd_count].name = text(name);
        message->fds[message->fd_count].fd = fds[message->fd_count], message->fd_count++;
    }
    if (message->fd_count != count) broken();
}

static void release(struct message *message) {
    for (int i = 0; i < message->fd_count; i++) close(message->fds[i].fd);
    free(message->content);
    free(message->values);
}

/* --- send --- */

static struct {
    char text[MAX_DATAGRAM_BYTES];
    size_t length;
} sent;

static void put(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int size =
        vsnprintf(sent.text + sent.length, sizeof sent.text - sent.length, format, arguments);
    va_end(arguments);
    sent.length += (size_t)size;
    if (sent.length >= sizeof sent.text) broken();
}

static void put_text(const char *text) {
    put(",\"");
    for (; *text; text++) {
        if ((unsigned char)*text < 32 || *text == '"' || *text == '\\')
            put("\\u%04x", *text);
        else if (sent.length < sizeof sent.text - 1)
            sent.text[sent.length++] = *text;
        else
            broken();
    }
    put("\"");
}

static void begin(const char *name, const char *fd_name) {
    sent.length = 0;
    put("[\"%s\",[%s%s%s]", name, fd_name ? "\"" : "", fd_name ? fd_name : "", fd_name ? "\"" : "");
}

/* Sends what was begun; ends this process when the other side is gone. */
static int finish(int channel, int fd) {
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    put("]");
    struct iovec part = {sent.text, sent.length};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        header.msg_control = &control, header.msg_controllen = sizeof control;
        *CMSG_FIRSTHDR(&header) = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), &fd, sizeof fd);
    }
    ssize_t size = sendmsg(channel, &header, MSG_NOSIGNAL);
    if (size < 0 && (errno == EPIPE || errno == ECONNRESET)) _exit(0);
    return size < 0 ? -1 : 0;
}
