/*
 * Records what a program does to the files under one folder, in the order in which it happened, and
 * injects disk faults. Loaded with LD_PRELOAD; the log is read by src/log.rs.
 *
 * Every call is made and logged under one lock, so that the log's order is the true one. Calls that
 * change files in ways the log can't hold (shared writable mappings, copies inside the kernel) are
 * logged as unsupported, and the replay refuses such a log.
 *
 *   HOLDFAST_RECORD_ROOT   the folder, absolute, without symbolic links
 *   HOLDFAST_RECORD_LOG    the log; appended to, so that several runs make one history
 *   HOLDFAST_RECORD_MARKS  a file outside the folder; what is written to it becomes marks in the log
 *   HOLDFAST_FAULT         CALL:NTH:ERRNO:LASTS, where CALL is write, sync or range, and LASTS is
 *                          once or on: the nth such call under the folder fails, or it and all later ones
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum op {
    OP_OPEN = 1, OP_CLOSE, OP_WRITE, OP_TRUNCATE, OP_SYNC, OP_RANGE, OP_RENAME, OP_UNLINK, OP_MKDIR, OP_RMDIR,
    OP_MARK, OP_DUP, OP_UNSUPPORTED, OP_LINK, OP_ALLOCATE, OP_START, OP_FAULT
};

struct head {
    uint32_t op;
    int32_t fd;
    int32_t arg;
    uint32_t first_bytes;
    uint32_t second_bytes;
    uint32_t zero;
    uint64_t offset;
};

#define FDS_MAX 65536
enum { IGNORED = 0, TRACKED = 1, MARKS = 2 };

static unsigned char fds[FDS_MAX];
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static char root[PATH_MAX];
static size_t root_bytes;
static char marks[PATH_MAX];
static int log_fd = -1;

static int fault_op, fault_errno, fault_lasts;
static long fault_nth, fault_seen;

static void die(const char *why) {
    syscall(SYS_write, 2, why, strlen(why));
    syscall(SYS_exit_group, 99);
}

static void record(enum op op, int fd, int arg, uint64_t offset, const void *first, size_t first_bytes,
                   const void *second, size_t second_bytes) {
    struct head head = {op, fd, arg, (uint32_t)first_bytes, (uint32_t)second_bytes, 0, offset};
    struct iovec parts[3] = {
        {&head, sizeof head}, {(void *)first, first_bytes}, {(void *)second, second_bytes}};
    size_t all = sizeof head + first_bytes + second_bytes;
    if (log_fd < 0) return;
    if (syscall(SYS_writev, log_fd, parts, 3) != (ssize_t)all) die("recorder: the log cannot be written\n");
}

static void record_path(enum op op, int fd, int arg, const char *path) {
    record(op, fd, arg, 0, path, strlen(path), NULL, 0);
}

__attribute__((constructor)) static void begin(void) {
    const char *value = getenv("HOLDFAST_RECORD_ROOT");
    if (!value) return;
    snprintf(root, sizeof root, "%s", value);
    root_bytes = strlen(root);
    if ((value = getenv("HOLDFAST_RECORD_MARKS"))) snprintf(marks, sizeof marks, "%s", value);
    if ((value = getenv("HOLDFAST_RECORD_LOG"))) {
        log_fd = (int)syscall(SYS_openat, AT_FDCWD, value, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (log_fd < 0) die("recorder: the log cannot be opened\n");
    }
    if ((value = getenv("HOLDFAST_FAULT"))) {
        char call[16], lasts[16];
        if (sscanf(value, "%15[a-z]:%ld:%d:%15[a-z]", call, &fault_nth, &fault_errno, lasts) != 4)
            die("recorder: HOLDFAST_FAULT is not CALL:NTH:ERRNO:LASTS\n");
        fault_op = !strcmp(call, "write") ? OP_WRITE : !strcmp(call, "sync") ? OP_SYNC : OP_RANGE;
        fault_lasts = !strcmp(lasts, "on");
    }
    record(OP_START, 0, 0, 0, NULL, 0, NULL, 0);
}

/* The end of a process stops its other threads in the middle of a write, of the log too: the lock is taken
 * and kept, so that the log ends with a whole record and says all that the disk has. */
__attribute__((destructor)) static void end(void) { pthread_mutex_lock(&lock); }

static int kind(int fd) { return fd >= 0 && fd < FDS_MAX ? fds[fd] : IGNORED; }

static void set_kind(int fd, int to) {
    if (fd >= FDS_MAX) die("recorder: too many open files\n");
    if (fd >= 0) fds[fd] = (unsigned char)to;
}

/* Whether this call must fail. Under the lock. */
static int fails(enum op op) {
    if (fault_op != (int)op) return 0;
    fault_seen++;
    if (fault_seen != fault_nth && !(fault_lasts && fault_seen > fault_nth)) return 0;
    record(OP_FAULT, 0, fault_errno, 0, NULL, 0, NULL, 0);
    return 1;
}

/* The absolute path of a name relative to a folder. */
static const char *absolute(int dir, const char *path, char *out) {
    char link[64];
    ssize_t bytes;
    if (path[0] == '/') return path;
    if (dir == AT_FDCWD) {
        if (!getcwd(out, PATH_MAX)) return path;
        bytes = (ssize_t)strlen(out);
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        bytes = readlink(link, out, PATH_MAX - 1);
        if (bytes < 0) return path;
    }
    snprintf(out + bytes, PATH_MAX - (size_t)bytes, "/%s", path);
    return out;
}

static int under_root(const char *path) {
    return root_bytes && !strncmp(path, root, root_bytes) && (path[root_bytes] == '/' || path[root_bytes] == 0);
}

/* ---- opening and closing ---- */

static int open_any(int dir, const char *path, int flags, mode_t mode) {
    char space[PATH_MAX];
    const char *full = absolute(dir, path, space);
    int fd;
    pthread_mutex_lock(&lock);
    fd = (int)syscall(SYS_openat, dir, path, flags, mode);
    if (fd >= 0) {
        int is_marks = marks[0] && !strcmp(full, marks);
        set_kind(fd, is_marks ? MARKS : under_root(full) ? TRACKED : IGNORED);
        if (kind(fd) == TRACKED) {
            if ((flags & O_TMPFILE) == O_TMPFILE) record_path(OP_UNSUPPORTED, fd, 0, "O_TMPFILE");
            record_path(OP_OPEN, fd, ((flags & O_CREAT) ? 1 : 0) | ((flags & O_TRUNC) ? 2 : 0), full);
        }
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define WITH_MODE(flags, mode)                                  \
    mode_t mode = 0;                                            \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                      \
        va_list list;                                           \
        va_start(list, flags);                                  \
        mode = va_arg(list, mode_t);                            \
        va_end(list);                                           \
    }

int open(const char *path, int flags, ...) { WITH_MODE(flags, mode) return open_any(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { WITH_MODE(flags, mode) return open_any(AT_FDCWD, path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { WITH_MODE(flags, mode) return open_any(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { WITH_MODE(flags, mode) return open_any(dir, path, flags, mode); }
int creat(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
    int result;
    pthread_mutex_lock(&lock);
    if (kind(fd) == TRACKED) record(OP_CLOSE, fd, 0, 0, NULL, 0, NULL, 0);
    set_kind(fd, IGNORED);
    result = (int)syscall(SYS_close, fd);
    pthread_mutex_unlock(&lock);
    return result;
}

static int duplicated(int from, int to) {
    if (to >= 0 && to != from) {
        set_kind(to, kind(from));
        if (kind(from) == TRACKED) record(OP_DUP, from, to, 0, NULL, 0, NULL, 0);
    }
    return to;
}

int dup(int fd) {
    pthread_mutex_lock(&lock);
    int result = duplicated(fd, (int)syscall(SYS_dup, fd));
    pthread_mutex_unlock(&lock);
    return result;
}

int dup3(int fd, int to, int flags) {
    pthread_mutex_lock(&lock);
    if (kind(to) == TRACKED) record(OP_CLOSE, to, 0, 0, NULL, 0, NULL, 0);
    int result = duplicated(fd, (int)syscall(SYS_dup3, fd, to, flags));
    pthread_mutex_unlock(&lock);
    return result;
}

int dup2(int fd, int to) { return fd == to ? to : dup3(fd, to, 0); }

static int fcntl_any(int fd, int command, long arg) {
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_fcntl, fd, command, arg);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) duplicated(fd, result);
    pthread_mutex_unlock(&lock);
    return result;
}

#define ONE_ARG(last, arg)          \
    va_list list;                   \
    va_start(list, last);           \
    long arg = va_arg(list, long);  \
    va_end(list);

int fcntl(int fd, int command, ...) { ONE_ARG(command, arg) return fcntl_any(fd, command, arg); }
int fcntl64(int fd, int command, ...) { ONE_ARG(command, arg) return fcntl_any(fd, command, arg); }

/* ---- writing ---- */

/* One write at the file's position (offset < 0) or at an offset. */
static ssize_t write_any(int fd, const void *data, size_t bytes, off_t offset) {
    ssize_t done;
    pthread_mutex_lock(&lock);
    if (kind(fd) == TRACKED && fails(OP_WRITE)) {
        /* A disk that fills up takes a part first. */
        if (fault_errno != ENOSPC || bytes < 2) {
            pthread_mutex_unlock(&lock);
            errno = fault_errno;
            return -1;
        }
        fault_lasts = 1;
        bytes /= 2;
    }
    done = offset < 0 ? syscall(SYS_write, fd, data, bytes) : syscall(SYS_pwrite64, fd, data, bytes, offset);
    if (done > 0 && kind(fd) == TRACKED) {
        int saved = errno;
        off_t at = offset < 0 ? lseek(fd, 0, SEEK_CUR) - done : offset;
        record(OP_WRITE, fd, 0, (uint64_t)at, data, (size_t)done, NULL, 0);
        errno = saved;
    } else if (done > 0 && kind(fd) == MARKS) {
        record(OP_MARK, fd, 0, 0, data, (size_t)done, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t write(int fd, const void *data, size_t bytes) { return write_any(fd, data, bytes, -1); }
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) { return write_any(fd, data, bytes, offset); }
ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset) { return write_any(fd, data, bytes, offset); }

static ssize_t writev_any(int fd, const struct iovec *parts, int count, off_t offset) {
    ssize_t all = 0;
    if (kind(fd) == IGNORED) {
        return offset < 0 ? syscall(SYS_writev, fd, parts, count)
                          : syscall(SYS_pwritev, fd, parts, count, (long)offset, 0L);
    }
    for (int i = 0; i < count; i++) {
        if (!parts[i].iov_len) continue;
        ssize_t done = write_any(fd, parts[i].iov_base, parts[i].iov_len, offset < 0 ? -1 : offset + all);
        if (done < 0) return all ? all : -1;
        all += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return all;
}

ssize_t writev(int fd, const struct iovec *parts, int count) { return writev_any(fd, parts, count, -1); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return writev_any(fd, parts, count, offset); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return writev_any(fd, parts, count, offset); }
ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags) { (void)flags; return writev_any(fd, parts, count, offset); }
ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags) { (void)flags; return writev_any(fd, parts, count, offset); }

static int truncate_fd(int fd, off_t bytes) {
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_ftruncate, fd, bytes);
    if (!result && kind(fd) == TRACKED) record(OP_TRUNCATE, fd, 0, (uint64_t)bytes, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t bytes) { return truncate_fd(fd, bytes); }
int ftruncate64(int fd, off64_t bytes) { return truncate_fd(fd, bytes); }

static int truncate_path(const char *path, off_t bytes) {
    int fd = open_any(AT_FDCWD, path, O_WRONLY, 0);
    if (fd < 0) return -1;
    int result = truncate_fd(fd, bytes), saved = errno;
    close(fd);
    errno = saved;
    return result;
}

int truncate(const char *path, off_t bytes) { return truncate_path(path, bytes); }
int truncate64(const char *path, off64_t bytes) { return truncate_path(path, bytes); }

static int allocate(int fd, int mode, off_t offset, off_t bytes) {
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_fallocate, fd, mode, offset, bytes);
    if (!result && kind(fd) == TRACKED) {
        if (mode) record_path(OP_UNSUPPORTED, fd, 0, "fallocate with a mode");
        record(OP_ALLOCATE, fd, 0, (uint64_t)(offset + bytes), NULL, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int fallocate(int fd, int mode, off_t offset, off_t bytes) { return allocate(fd, mode, offset, bytes); }
int fallocate64(int fd, int mode, off64_t offset, off64_t bytes) { return allocate(fd, mode, offset, bytes); }
int posix_fallocate(int fd, off_t offset, off_t bytes) { return allocate(fd, 0, offset, bytes) ? errno : 0; }
int posix_fallocate64(int fd, off64_t offset, off64_t bytes) { return allocate(fd, 0, offset, bytes) ? errno : 0; }

/* ---- syncing ---- */

static int sync_any(int fd, long call) {
    int result;
    pthread_mutex_lock(&lock);
    if (kind(fd) == TRACKED && fails(OP_SYNC)) {
        result = -1;
        errno = fault_errno;
    } else {
        result = (int)syscall(call, fd);
        if (!result && kind(fd) == TRACKED) record(OP_SYNC, fd, 0, 0, NULL, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { return sync_any(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_any(fd, SYS_fdatasync); }

int sync_file_range(int fd, off64_t offset, off64_t bytes, unsigned flags) {
    int result;
    pthread_mutex_lock(&lock);
    if (kind(fd) == TRACKED && fails(OP_RANGE)) {
        result = -1;
        errno = fault_errno;
    } else {
#ifdef SYS_sync_file_range
        result = (int)syscall(SYS_sync_file_range, fd, offset, bytes, flags);
#else
        result = (int)syscall(SYS_sync_file_range2, fd, flags, offset, bytes);
#endif
        if (!result && kind(fd) == TRACKED) record(OP_RANGE, fd, 0, (uint64_t)offset, NULL, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

/* ---- names ---- */

static int rename_any(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    char a[PATH_MAX], b[PATH_MAX];
    const char *from_full = absolute(from_dir, from, a), *to_full = absolute(to_dir, to, b);
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    if (!result && (under_root(from_full) || under_root(to_full))) {
        if (flags || !under_root(from_full) || !under_root(to_full))
            record_path(OP_UNSUPPORTED, 0, 0, "rename with flags or across the root");
        record(OP_RENAME, 0, 0, 0, from_full, strlen(from_full), to_full, strlen(to_full));
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int rename(const char *from, const char *to) { return rename_any(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int fd, const char *from, int td, const char *to) { return rename_any(fd, from, td, to, 0); }
int renameat2(int fd, const char *from, int td, const char *to, unsigned flags) { return rename_any(fd, from, td, to, flags); }

static int unlink_any(int dir, const char *path, int flags) {
    char space[PATH_MAX];
    const char *full = absolute(dir, path, space);
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_unlinkat, dir, path, flags);
    if (!result && under_root(full)) record_path((flags & AT_REMOVEDIR) ? OP_RMDIR : OP_UNLINK, 0, 0, full);
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *path) { return unlink_any(AT_FDCWD, path, 0); }
int unlinkat(int dir, const char *path, int flags) { return unlink_any(dir, path, flags); }
int rmdir(const char *path) { return unlink_any(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
    int result = unlink_any(AT_FDCWD, path, 0);
    return result && errno == EISDIR ? rmdir(path) : result;
}

static int link_any(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    char a[PATH_MAX], b[PATH_MAX];
    const char *from_full = absolute(from_dir, from, a), *to_full = absolute(to_dir, to, b);
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
    if (!result && (under_root(from_full) || under_root(to_full)))
        record(OP_LINK, 0, 0, 0, from_full, strlen(from_full), to_full, strlen(to_full));
    pthread_mutex_unlock(&lock);
    return result;
}

int link(const char *from, const char *to) { return link_any(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int fd, const char *from, int td, const char *to, int flags) { return link_any(fd, from, td, to, flags); }

static int mkdir_any(int dir, const char *path, mode_t mode) {
    char space[PATH_MAX];
    const char *full = absolute(dir, path, space);
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_mkdirat, dir, path, mode);
    if (!result && under_root(full)) record_path(OP_MKDIR, 0, 0, full);
    pthread_mutex_unlock(&lock);
    return result;
}

int mkdir(const char *path, mode_t mode) { return mkdir_any(AT_FDCWD, path, mode); }
int mkdirat(int dir, const char *path, mode_t mode) { return mkdir_any(dir, path, mode); }

/* ---- what the log can't hold ---- */

static void unsupported(int fd, const char *what) {
    pthread_mutex_lock(&lock);
    if (kind(fd) == TRACKED) record_path(OP_UNSUPPORTED, fd, 0, what);
    pthread_mutex_unlock(&lock);
}

int symlink(const char *to, const char *path) {
    char space[PATH_MAX];
    if (under_root(absolute(AT_FDCWD, path, space))) {
        pthread_mutex_lock(&lock);
        record_path(OP_UNSUPPORTED, 0, 0, "symlink");
        pthread_mutex_unlock(&lock);
    }
    return (int)syscall(SYS_symlinkat, to, AT_FDCWD, path);
}

static void *map_any(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
    if ((flags & MAP_SHARED) && (protection & PROT_WRITE)) unsupported(fd, "shared writable mapping");
    return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
}

void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) { return map_any(at, bytes, protection, flags, fd, offset); }
void *mmap64(void *at, size_t bytes, int protection, int flags, int fd, off64_t offset) { return map_any(at, bytes, protection, flags, fd, offset); }

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t bytes, unsigned flags) {
    unsupported(to, "copy_file_range");
    return syscall(SYS_copy_file_range, from, from_at, to, to_at, bytes, flags);
}

ssize_t sendfile(int to, int from, off_t *at, size_t bytes) {
    unsupported(to, "sendfile");
    return syscall(SYS_sendfile, to, from, at, bytes);
}

ssize_t sendfile64(int to, int from, off64_t *at, size_t bytes) {
    unsupported(to, "sendfile");
    return syscall(SYS_sendfile, to, from, at, bytes);
}

ssize_t splice(int from, off64_t *from_at, int to, off64_t *to_at, size_t bytes, unsigned flags) {
    unsupported(to, "splice");
    return syscall(SYS_splice, from, from_at, to, to_at, bytes, flags);
}
