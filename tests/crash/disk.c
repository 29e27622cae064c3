/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/crash/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define NAMES 3u /* the state file, the one that is written anew, the one before */
#define FILES 6u
#define FILE_SIZE 8192u
#define SECTOR_SIZE 16u
#define FOLDERS 16u /* changes of names between two syncs of the folder */
#define NOBODY FILES

static const char *const suffixes[NAMES] = {"", ".new", ".old"};

struct file {
    ino_t inode;
    uint8_t content[FILE_SIZE];
    size_t size;
    uint8_t durable[FILE_SIZE];
    size_t durable_size;
};

struct folder {
    size_t files[NAMES]; /* NOBODY: there is no such name */
};

struct disk {
    char path[128];
    struct file files[FILES];
    size_t file_count;
    struct folder folders[FOLDERS]; /* the first is durable, the last is what is seen */
    size_t folder_count;
    enum power_loss loss;
    bool armed;
    bool off;
    size_t left;
    uint64_t random;
};

static struct disk *disk; /* the one that there is */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
ssize_t __real_writev(int handle, const struct iovec *pieces, int count);
ssize_t __wrap_writev(int handle, const struct iovec *pieces, int count);
int __real_fsync(int handle);
int __wrap_fsync(int handle);
int __real_fdatasync(int handle);
int __wrap_fdatasync(int handle);
int __real_ftruncate(int handle, off_t size);
int __wrap_ftruncate(int handle, off_t size);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);

static void give_up(const char *what)
{
    fprintf(stderr, "disk: %s\n", what);
    abort();
}

static uint64_t random_next(void)
{
    disk->random ^= disk->random << 13; /* xorshift */
    disk->random ^= disk->random >> 7;
    disk->random ^= disk->random << 17;
    return disk->random;
}

/* How many of so many points are passed before the power goes off. */
static size_t points_pass(size_t count)
{
    if (disk->off) {
        return 0;
    }
    if (!disk->armed || disk->left >= count) {
        disk->left -= disk->armed ? count : 0;
        return count;
    }
    disk->off = true;
    return disk->left;
}

static bool point_pass(void)
{
    if (points_pass(1) == 1) {
        return true;
    }
    errno = EIO;
    return false;
}

/* ---- names ---- */

static size_t name_of(const char *path)
{
    size_t length = strlen(disk->path);
    for (size_t i = 0; strncmp(path, disk->path, length) == 0 && i < NAMES; i++) {
        if (strcmp(path + length, suffixes[i]) == 0) {
            return i;
        }
    }
    give_up("a path of somebody else's");
    return 0;
}

static struct folder *folder_now(void)
{
    return &disk->folders[disk->folder_count - 1];
}

static void name_set(size_t name, size_t file)
{
    if (disk->folder_count == FOLDERS) {
        give_up("too many changes of names");
    }
    disk->folders[disk->folder_count] = *folder_now();
    disk->folder_count++;
    folder_now()->files[name] = file;
}

static void folder_settle(void)
{
    disk->folders[0] = *folder_now();
    disk->folder_count = 1;
}

/* ---- files ---- */

static size_t file_of(int handle)
{
    struct stat status;
    if (fstat(handle, &status) != 0) {
        give_up("a handle of nothing");
    }
    size_t at = 0;
    while (at < disk->file_count && disk->files[at].inode != status.st_ino) {
        at++;
    }
    return at;
}

static void file_settle(struct file *file)
{
    memcpy(file->durable, file->content, file->size);
    file->durable_size = file->size;
}

static size_t file_add(int handle)
{
    struct stat status;
    if (disk->file_count == FILES || fstat(handle, &status) != 0) {
        give_up("too many files");
    }
    for (size_t i = 0; i < disk->file_count; i++) {
        if (disk->files[i].inode == status.st_ino) {
            disk->files[i].inode = 0; /* nobody has it any more: its number is given anew */
        }
    }
    struct file *file = &disk->files[disk->file_count];
    memset(file, 0, sizeof(*file));
    file->inode = status.st_ino;
    return disk->file_count++;
}

/* ---- the system's calls ---- */

int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if (disk == NULL || (flags & O_CREAT) == 0) { /* coverage is written when all is over */
        return __real_open(path, flags, mode);
    }
    if (!point_pass()) {
        return -1;
    }
    int handle = __real_open(path, flags, mode);
    if (handle >= 0) {
        name_set(name_of(path), file_add(handle));
    }
    return handle;
}

ssize_t __wrap_writev(int handle, const struct iovec *pieces, int count)
{
    size_t whole = 0;
    size_t at = 0;
    struct file *file = &disk->files[file_of(handle)];
    for (int i = 0; i < count; i++) {
        whole += pieces[i].iov_len;
    }
    size_t put = points_pass(whole);
    if (file->size + put > FILE_SIZE) {
        give_up("a file too large");
    }
    for (int i = 0; i < count && at < put; i++) {
        size_t piece = pieces[i].iov_len < put - at ? pieces[i].iov_len : put - at;
        memcpy(file->content + file->size + at, pieces[i].iov_base, piece);
        at += piece;
    }
    if (put > 0 && write(handle, file->content + file->size, put) != (ssize_t)put) {
        give_up("a write of the test's own fails");
    }
    file->size += put;
    errno = EIO;
    return put == 0 ? -1 : (ssize_t)put;
}

int __wrap_fsync(int handle)
{
    if (!point_pass()) {
        return -1;
    }
    size_t file = file_of(handle);
    if (file == disk->file_count) {
        folder_settle();
    } else {
        file_settle(&disk->files[file]);
    }
    return 0;
}

int __wrap_fdatasync(int handle)
{
    return __wrap_fsync(handle);
}

int __wrap_ftruncate(int handle, off_t size)
{
    if (disk == NULL) {
        return __real_ftruncate(handle, size);
    }
    if (!point_pass()) {
        return -1;
    }
    disk->files[file_of(handle)].size = (size_t)size;
    return __real_ftruncate(handle, size);
}

int __wrap_rename(const char *from, const char *to)
{
    if (!point_pass()) {
        return -1;
    }
    size_t file = folder_now()->files[name_of(from)];
    name_set(name_of(to), file);
    folder_now()->files[name_of(from)] = NOBODY;
    return __real_rename(from, to);
}

int __wrap_link(const char *from, const char *to)
{
    if (!point_pass()) {
        return -1;
    }
    if (folder_now()->files[name_of(from)] != NOBODY) {
        name_set(name_of(to), folder_now()->files[name_of(from)]);
    }
    return __real_link(from, to);
}

int __wrap_unlink(const char *path)
{
    if (!point_pass()) {
        return -1;
    }
    if (folder_now()->files[name_of(path)] != NOBODY) {
        name_set(name_of(path), NOBODY);
    }
    return __real_unlink(path);
}

/* ---- power ---- */

static void names_remove(void)
{
    char path[160];
    for (size_t i = 0; i < NAMES; i++) {
        snprintf(path, sizeof(path), "%s%s", disk->path, suffixes[i]);
        (void)__real_unlink(path);
    }
}

struct disk *disk_new(const char *path)
{
    disk = calloc(1, sizeof(*disk));
    if (disk == NULL) {
        give_up("out of memory");
    }
    snprintf(disk->path, sizeof(disk->path), "%s", path);
    for (size_t i = 0; i < NAMES; i++) {
        disk->folders[0].files[i] = NOBODY;
    }
    disk->folder_count = 1;
    return disk;
}

void disk_free(struct disk *old)
{
    names_remove();
    free(old);
    disk = NULL;
}

void disk_arm(struct disk *armed, enum power_loss loss, size_t at, uint64_t seed)
{
    armed->armed = true;
    armed->loss = loss;
    armed->left = at;
    armed->random = seed | 1u;
}

bool disk_is_off(const struct disk *asked)
{
    return asked->off;
}

/* Of what was not synced any sectors, and any size between the two. */
static void file_tear(struct file *file)
{
    size_t longer = file->size > file->durable_size ? file->size : file->durable_size;
    size_t shorter = file->size + file->durable_size - longer;
    size_t size = shorter + random_next() % (longer - shorter + 1);
    memset(file->durable + file->durable_size, 0, FILE_SIZE - file->durable_size);
    for (size_t at = 0; at < file->size; at += SECTOR_SIZE) {
        if ((random_next() & 1u) != 0) {
            memcpy(file->durable + at, file->content + at, SECTOR_SIZE);
        }
    }
    file->durable_size = size;
}

static void file_write(size_t name, const struct file *file)
{
    char path[160];
    snprintf(path, sizeof(path), "%s%s", disk->path, suffixes[name]);
    int handle = __real_open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (handle < 0 || write(handle, file->durable, file->durable_size) != (ssize_t)file->durable_size) {
        give_up("a file of the test's own cannot be written");
    }
    close(handle);
}

void disk_return(struct disk *back)
{
    size_t folder = back->folder_count - 1;
    if (back->off && back->loss == POWER_TORN) {
        folder = random_next() % back->folder_count;
    } else if (back->off && back->loss == POWER_OFF) {
        folder = 0;
    }
    for (size_t i = 0; i < back->file_count; i++) {
        struct file *file = &back->files[i];
        if (!back->off || back->loss == POWER_KILL) {
            file_settle(file);
        } else if (back->loss == POWER_TORN) {
            file_tear(file);
        }
    }
    names_remove();
    struct file files[NAMES];
    struct folder names = {.files = {NOBODY, NOBODY, NOBODY}};
    size_t count = 0;
    for (size_t i = 0; i < NAMES; i++) {
        if (back->folders[folder].files[i] == NOBODY) {
            continue;
        }
        struct file *file = &files[count];
        struct stat status;
        char path[160];
        *file = back->files[back->folders[folder].files[i]];
        file_write(i, file);
        snprintf(path, sizeof(path), "%s%s", back->path, suffixes[i]);
        if (stat(path, &status) != 0) {
            give_up("a file of the test's own has gone");
        }
        file->inode = status.st_ino;
        memcpy(file->content, file->durable, file->durable_size);
        file->size = file->durable_size;
        names.files[i] = count++;
    }
    memcpy(back->files, files, count * sizeof(files[0]));
    back->file_count = count;
    back->folders[0] = names;
    back->folder_count = 1;
    back->off = back->armed = false;
}
