/* Notes what a process does to files below a directory, in the order in which it is done: loaded with LD_PRELOAD,
 * it stands before the functions of the C library. RECORDER_ROOT names the directory, RECORDER_LOG the file that
 * records go behind:
 *
 *   C <inode> <path>          a file made          D <inode> <path>   a directory made
 *   L <inode> <path>          another name         U <path>           a name removed
 *   M <path> TAB <path>       renamed              T <inode> <size>   its length set
 *   W <inode> <at> <bytes>    written, followed by the bytes and a newline
 *   S <inode>                 fsync, fdatasync     A <text>           what the program itself says
 *
 * Paths are relative to the root. One operation is done and noted at a time. What names files without the C
 * library is caught by a filter of system calls. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

/* An argument that these calls do not have: the filter lets it pass. */
#define OWN 0x52454344UL

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static char root[PATH_MAX];
static size_t root_length;

static void put(const void *bytes, size_t count) {
    const char *at = bytes;
    while (count > 0) {
        long written = syscall(SYS_write, log_fd, at, count);
        if (written <= 0) abort();
        at += written, count -= (size_t)written;
    }
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...) {
    char line[3 * PATH_MAX];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    if (length < 0 || (size_t)length >= sizeof line) abort();
    put(line, (size_t)length);
}

void recorder_says(const char *text) {
    pthread_mutex_lock(&lock);
    if (log_fd >= 0) say("A %s\n", text);
    pthread_mutex_unlock(&lock);
}

/* The path below the root, or NULL. */
static const char *below_root(const char *path) {
    if (log_fd < 0 || strncmp(path, root, root_length) != 0 || path[root_length] != '/') return NULL;
    return path + root_length + 1;
}

static const char *of_fd(int fd, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0) return NULL;
    path[length] = 0;
    /* The root itself is of interest too: its names are synced. */
    return log_fd >= 0 && strcmp(path, root) == 0 ? "" : below_root(path);
}

/* A name need not be there; the directory that it is in is. */
static const char *of_name(int directory, const char *name, char path[PATH_MAX]) {
    char full[PATH_MAX], link[64];
    if (log_fd < 0 || !name) return NULL;
    snprintf(link, sizeof link, directory == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", directory);
    snprintf(full, sizeof full, name[0] == '/' ? "%s%s" : "%s/%s", name[0] == '/' ? "" : link, name);
    size_t length = strlen(full);
    while (length > 1 && full[length - 1] == '/') full[--length] = 0;
    char *last = strrchr(full, '/');
    if (!last || last == full) return NULL;
    *last = 0;
    char parent[PATH_MAX];
    if (!realpath(full, parent)) return NULL;
    if (snprintf(path, PATH_MAX, "%s/%s", parent, last + 1) >= PATH_MAX) return NULL;
    return below_root(path);
}

static unsigned long inode(int fd) {
    struct stat info;
    return fstat(fd, &info) == 0 ? (unsigned long)info.st_ino : 0;
}

static unsigned long inode_of(const char *path) {
    struct stat info;
    return lstat(path, &info) == 0 ? (unsigned long)info.st_ino : 0;
}

static int open_and_note(int directory, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    struct stat before;
    if (!(flags & (O_CREAT | O_TRUNC)) || !of_name(directory, name, path)) {
        return (int)syscall(SYS_openat, directory, name, flags, mode);
    }
    pthread_mutex_lock(&lock);
    int was = lstat(path, &before) == 0;
    int fd = (int)syscall(SYS_openat, directory, name, flags, mode);
    if (fd >= 0 && !was) say("C %lu %s\n", inode(fd), below_root(path));
    if (fd >= 0 && was && (flags & O_TRUNC)) say("T %lu 0\n", inode(fd));
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE_OF(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list values; \
        va_start(values, flags); \
        mode = (mode_t)va_arg(values, int); \
        va_end(values); \
    }

int open(const char *name, int flags, ...) { MODE_OF(flags) return open_and_note(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE_OF(flags) return open_and_note(AT_FDCWD, name, flags, mode); }
int openat(int at, const char *name, int flags, ...) { MODE_OF(flags) return open_and_note(at, name, flags, mode); }
int openat64(int at, const char *name, int flags, ...) { MODE_OF(flags) return open_and_note(at, name, flags, mode); }

static void note_write(int fd, off_t at, const struct iovec *parts, int count, size_t written) {
    say("W %lu %lld %zu\n", inode(fd), (long long)at, written);
    for (int i = 0; i < count && written > 0; i++) {
        size_t some = parts[i].iov_len < written ? parts[i].iov_len : written;
        put(parts[i].iov_base, some);
        written -= some;
    }
    put("\n", 1);
}

/* `at` below 0: where the file stands. */
static ssize_t write_and_note(int fd, const struct iovec *parts, int count, off_t at) {
    char path[PATH_MAX];
    if (log_fd < 0 || !of_fd(fd, path)) {
        return at < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, at, 0);
    }
    pthread_mutex_lock(&lock);
    ssize_t written = at < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, at, 0);
    if (written > 0) note_write(fd, at < 0 ? lseek(fd, 0, SEEK_CUR) - written : at, parts, count, (size_t)written);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    return write_and_note(fd, &(struct iovec){(void *)bytes, count}, 1, -1);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    return write_and_note(fd, &(struct iovec){(void *)bytes, count}, 1, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) { return pwrite(fd, bytes, count, at); }
ssize_t writev(int fd, const struct iovec *parts, int count) { return write_and_note(fd, parts, count, -1); }

int ftruncate(int fd, off_t size) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_ftruncate, fd, size);
    if (result == 0 && of_fd(fd, path)) say("T %lu %lld\n", inode(fd), (long long)size);
    pthread_mutex_unlock(&lock);
    return result;
}
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }

/* Data go through read and write, which are noted. */
ssize_t copy_file_range(int from, off_t *at, int to, off_t *to_at, size_t count, unsigned flags) {
    (void)from, (void)at, (void)to, (void)to_at, (void)count, (void)flags;
    errno = EXDEV;
    return -1;
}
ssize_t sendfile(int to, int from, off_t *at, size_t count) {
    (void)from, (void)at, (void)to, (void)count;
    errno = EINVAL;
    return -1;
}
ssize_t sendfile64(int to, int from, off_t *at, size_t count) { return sendfile(to, from, at, count); }

static int sync_and_note(int fd, long number) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    int result = (int)syscall(number, fd);
    if (result == 0 && of_fd(fd, path)) say("S %lu\n", inode(fd));
    pthread_mutex_unlock(&lock);
    return result;
}
int fsync(int fd) { return sync_and_note(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_and_note(fd, SYS_fdatasync); }

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    char one[PATH_MAX], other[PATH_MAX];
    pthread_mutex_lock(&lock);
    const char *was = of_name(from_at, from, one), *is = of_name(to_at, to, other);
    int result = (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags, OWN);
    if (result == 0 && was && is) say("M %s\t%s\n", was, is);
    pthread_mutex_unlock(&lock);
    return result;
}
int renameat(int from_at, const char *from, int to_at, const char *to) {
    return renameat2(from_at, from, to_at, to, 0);
}
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_linkat, from_at, from, to_at, to, flags, OWN);
    if (result == 0 && of_name(to_at, to, path)) say("L %lu %s\n", inode_of(path), below_root(path));
    pthread_mutex_unlock(&lock);
    return result;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int at, const char *name, int flags) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    const char *below = of_name(at, name, path);
    int result = (int)syscall(SYS_unlinkat, at, name, flags, 0, 0, OWN);
    if (result == 0 && below) say("U %s\n", below);
    pthread_mutex_unlock(&lock);
    return result;
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdirat(int at, const char *name, mode_t mode) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_mkdirat, at, name, mode);
    if (result == 0 && of_name(at, name, path)) say("D %lu %s\n", inode_of(path), below_root(path));
    pthread_mutex_unlock(&lock);
    return result;
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

/* Calls of the system that did not come from here. */
static void caught(int number, siginfo_t *info, void *context) {
    (void)number;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    long one = registers[REG_RDI], two = registers[REG_RSI], three = registers[REG_RDX];
    long four = registers[REG_R10], five = registers[REG_R8], result = -1;
    int saved = errno;
    errno = ENOSYS;
    switch (info->si_syscall) {
    case SYS_rename: result = rename((char *)one, (char *)two); break;
    case SYS_renameat: result = renameat((int)one, (char *)two, (int)three, (char *)four); break;
    case SYS_renameat2: result = renameat2((int)one, (char *)two, (int)three, (char *)four, (unsigned)five); break;
    case SYS_link: result = link((char *)one, (char *)two); break;
    case SYS_linkat: result = linkat((int)one, (char *)two, (int)three, (char *)four, (int)five); break;
    case SYS_unlink: result = unlink((char *)one); break;
    case SYS_unlinkat: result = unlinkat((int)one, (char *)two, (int)three); break;
    }
    registers[REG_RAX] = result < 0 ? -errno : result;
    errno = saved;
}

#define FIELD(name) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, name))
#define CALL(name, to) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, to, 0)

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("RECORDER_LOG"), *below = getenv("RECORDER_ROOT");
    if (!path || !below || !realpath(below, root)) return;
    root_length = strlen(root);
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    struct sock_filter filter[] = {
        FIELD(nr),
        CALL(rename, 7), CALL(renameat, 6), CALL(renameat2, 5), CALL(link, 4),
        CALL(linkat, 3), CALL(unlink, 2), CALL(unlinkat, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        FIELD(args[5]),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_NODEFER};
    if (sigaction(SIGSYS, &action, NULL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
        perror("recorder");
        abort();
    }
}
