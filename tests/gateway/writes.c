/* Preloaded into the gateway: writes down, in order, what is written to the database's files and what is synced.
 *
 * From that the test makes what a disk would hold after a power cut at any moment: all that was synced, and any part of the rest.
 * Names too: a file that was made (C) is there for certain when its folder was synced (D).
 * A record is: operation (1 byte), length of the path (2), path, offset (8), length (8), data (for W only); little-endian.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int log_fd = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("WRITES_LOG");
    if (name) log_fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int is_ours(const char *path) {
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    return strcmp(base, "gateway.db") == 0 || strcmp(base, "gateway.db-wal") == 0;
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    struct stat what;
    if (fstat(fd, &what) == 0 && S_ISDIR(what.st_mode)) {
        strcat(path, "/.");
        return 2;
    }
    return is_ours(path);
}

static void put(char op, const char *path, int64_t offset, const void *data, int64_t length) {
    uint16_t n = (uint16_t)strlen(path);
    struct iovec parts[] = {{&op, 1}, {&n, 2}, {(void *)path, n}, {&offset, 8}, {&length, 8}, {(void *)data, data ? (size_t)length : 0}};
    if (writev(log_fd, parts, 6) < 0) abort();
}

#define WATCH(op, fd, offset, data, length, call)                     \
    char path[PATH_MAX + 2];                                          \
    int found = log_fd < 0 ? 0 : path_of(fd, path);                   \
    if (!found) return call;                                          \
    pthread_mutex_lock(&lock);                                        \
    long result = call;                                               \
    if (result >= 0) put(found == 2 ? 'D' : op, path, offset, data, (data) ? result : (long)(length)); \
    pthread_mutex_unlock(&lock);                                      \
    return result

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    WATCH('W', fd, offset, data, length, syscall(SYS_pwrite64, fd, data, length, offset));
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite64(fd, data, length, offset); }
int ftruncate64(int fd, off64_t size) { WATCH('T', fd, size, (void *)0, 0, syscall(SYS_ftruncate, fd, size)); }
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }
int fdatasync(int fd) { WATCH('S', fd, 0, (void *)0, 0, syscall(SYS_fdatasync, fd)); }
int open64(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & (O_CREAT | __O_TMPFILE)) {
        va_list more;
        va_start(more, flags);
        mode = va_arg(more, mode_t);
        va_end(more);
    }
    int makes = log_fd >= 0 && (flags & O_CREAT) && is_ours(path);
    if (makes) pthread_mutex_lock(&lock);
    int is_new = makes && access(path, F_OK) != 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (is_new && fd >= 0) put('C', path, 0, NULL, 0);
    if (makes) pthread_mutex_unlock(&lock);
    return fd;
}
int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open64(path, flags, mode);
}
int fsync(int fd) { WATCH('S', fd, 0, (void *)0, 0, syscall(SYS_fsync, fd)); }
