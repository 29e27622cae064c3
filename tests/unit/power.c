/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/power.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#define PATH_SIZE 512u
#define SECTOR_SIZE 512u

/* What was asked of a file since its last sync. */
struct change {
    STAILQ_ENTRY(change) next;
    bool truncates; /* to `offset`; else `length` bytes are written there */
    size_t offset;
    size_t length;
    uint8_t data[];
};

/* A file: what is on the disk for certain, and what may be. */
struct image {
    LIST_ENTRY(image) next;
    char path[PATH_SIZE];
    uint8_t *durable;
    size_t size;
    size_t capacity;
    STAILQ_HEAD(, change) changes;
};

struct power {
    LIST_ENTRY(power) next;
    char directory[PATH_SIZE];
    LIST_HEAD(, image) images;
    bool armed;
    bool off;
    enum power_loss loss;
    size_t left; /* points until it goes off */
    size_t points;
    uint64_t random;
    size_t room;
    size_t refusals;
};

struct file {
    sqlite3_file base;
    struct power *power;
    struct image *image;
    sqlite3_file *real; /* behind this struct */
};

static LIST_HEAD(, power) powers = LIST_HEAD_INITIALIZER(powers);
static sqlite3_vfs *system_vfs;

static void *allocate(size_t size)
{
    void *memory = calloc(1, size == 0 ? 1 : size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

/* ---- images ---- */

static void changes_forget(struct image *image)
{
    struct change *change;
    while ((change = STAILQ_FIRST(&image->changes)) != NULL) {
        STAILQ_REMOVE_HEAD(&image->changes, next);
        free(change);
    }
}

static void image_free(struct image *image)
{
    LIST_REMOVE(image, next);
    changes_forget(image);
    free(image->durable);
    free(image);
}

static void image_resize(struct image *image, size_t size)
{
    if (size > image->capacity) {
        image->capacity = 2 * size; /* files grow by sectors */
        image->durable = realloc(image->durable, image->capacity);
        if (image->durable == NULL) {
            abort();
        }
    }
    if (size > image->size) {
        memset(image->durable + image->size, 0, size - image->size);
    }
    image->size = size;
}

static void image_read(struct image *image)
{
    FILE *file = fopen(image->path, "rb");
    uint8_t piece[4096];
    size_t length;
    while (file != NULL && (length = fread(piece, 1, sizeof(piece), file)) > 0) {
        image_resize(image, image->size + length);
        memcpy(image->durable + image->size - length, piece, length);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
}

static void image_write(const struct image *image)
{
    FILE *file = fopen(image->path, "r+b"); /* keeps its mode; none where it was deleted */
    if (file == NULL) {
        return;
    }
    if (fwrite(image->durable, 1, image->size, file) != image->size || fflush(file) != 0) {
        abort();
    }
    (void)fclose(file);
    if (truncate(image->path, (off_t)image->size) != 0) {
        abort();
    }
}

static struct image *image_open(struct power *power, const char *path)
{
    struct image *image;
    LIST_FOREACH(image, &power->images, next)
    {
        if (strcmp(image->path, path) == 0) {
            return image;
        }
    }
    image = allocate(sizeof(*image));
    (void)snprintf(image->path, sizeof(image->path), "%s", path);
    STAILQ_INIT(&image->changes);
    image_read(image);
    LIST_INSERT_HEAD(&power->images, image, next);
    return image;
}

static void image_change(struct image *image, bool truncates, size_t offset, const void *data, size_t length)
{
    struct change *change = allocate(sizeof(*change) + length);
    change->truncates = truncates;
    change->offset = offset;
    change->length = length;
    if (length > 0) {
        memcpy(change->data, data, length);
    }
    STAILQ_INSERT_TAIL(&image->changes, change, next);
}

static uint64_t random_next(struct power *power)
{
    power->random ^= power->random << 13; /* xorshift */
    power->random ^= power->random >> 7;
    power->random ^= power->random << 17;
    return power->random;
}

static void piece_settle(struct image *image, const struct change *change, size_t start, size_t length)
{
    if (change->offset + start + length > image->size) {
        image_resize(image, change->offset + start + length);
    }
    memcpy(image->durable + change->offset + start, change->data + start, length);
}

/* `any`: each sector of it, or not. */
static void change_settle(struct power *power, struct image *image, const struct change *change, bool any)
{
    if (change->truncates) {
        if (!any || (random_next(power) & 1u) != 0) {
            image_resize(image, change->offset);
        }
        return;
    }
    for (size_t start = 0; start < change->length; start += SECTOR_SIZE) {
        size_t left = change->length - start;
        if (!any || (random_next(power) & 1u) != 0) {
            piece_settle(image, change, start, left < SECTOR_SIZE ? left : SECTOR_SIZE);
        }
    }
}

static void changes_settle(struct power *power, struct image *image, bool any)
{
    const struct change *change;
    STAILQ_FOREACH(change, &image->changes, next)
    {
        change_settle(power, image, change, any);
    }
    changes_forget(image);
}

/* ---- power ---- */

struct power *power_new(const char *directory)
{
    struct power *power = allocate(sizeof(*power));
    (void)snprintf(power->directory, sizeof(power->directory), "%s/", directory);
    LIST_INIT(&power->images);
    power->room = SIZE_MAX;
    LIST_INSERT_HEAD(&powers, power, next);
    return power;
}

static void images_free(struct power *power)
{
    while (!LIST_EMPTY(&power->images)) {
        image_free(LIST_FIRST(&power->images));
    }
}

void power_free(struct power *power)
{
    if (power == NULL) {
        return;
    }
    images_free(power);
    LIST_REMOVE(power, next);
    free(power);
}

void power_arm(struct power *power, enum power_loss loss, size_t at, uint64_t seed)
{
    power->armed = true;
    power->loss = loss;
    power->left = at;
    power->random = seed | 1u;
}

void power_disarm(struct power *power)
{
    power->armed = false;
}

bool power_point(struct power *power)
{
    if (power->off) {
        return true;
    }
    power->points++;
    power->off = power->armed && power->left-- == 0;
    return power->off;
}

bool power_is_off(const struct power *power)
{
    return power != NULL && power->off;
}

enum power_loss power_loss_of(const struct power *power)
{
    return power->loss;
}

size_t power_points(const struct power *power)
{
    return power->points;
}

void power_return(struct power *power)
{
    struct image *image;
    LIST_FOREACH(image, &power->images, next)
    {
        if (power->off && power->loss == POWER_OFF) {
            changes_forget(image);
        }
        changes_settle(power, image, power->off && power->loss == POWER_TORN);
        if (power->off) {
            image_write(image);
        }
    }
    images_free(power);
    power->off = false;
    power->armed = false;
}

void power_disk_room(struct power *power, size_t bytes)
{
    power->room = bytes;
}

size_t power_disk_refusals(const struct power *power)
{
    return power->refusals;
}

/* ---- files, as SQLite asks ---- */

static int file_close(sqlite3_file *base)
{
    struct file *file = (struct file *)base;
    return file->real->pMethods->xClose(file->real);
}

static int file_read(sqlite3_file *base, void *data, int length, sqlite3_int64 offset)
{
    struct file *file = (struct file *)base;
    if (power_is_off(file->power)) {
        return SQLITE_IOERR_READ;
    }
    return file->real->pMethods->xRead(file->real, data, length, offset);
}

/* A file that grows takes room, and gives none back: SQLite's write-ahead log is written over. */
static bool room_take(struct file *file, size_t end)
{
    struct power *power = file->power;
    sqlite3_int64 size = 0;
    if (power->room == SIZE_MAX) {
        return true;
    }
    (void)file->real->pMethods->xFileSize(file->real, &size);
    size_t grows = end > (size_t)size ? end - (size_t)size : 0;
    if (grows > power->room) {
        power->refusals++;
        return false;
    }
    power->room -= grows;
    return true;
}

static int file_write(sqlite3_file *base, const void *data, int length, sqlite3_int64 offset)
{
    struct file *file = (struct file *)base;
    bool off_before = file->power->off;
    if (power_point(file->power)) {
        if (!off_before && file->power->loss == POWER_TORN) { /* it was under way */
            image_change(file->image, false, (size_t)offset, data, (size_t)length);
        }
        return SQLITE_IOERR_WRITE;
    }
    if (!room_take(file, (size_t)offset + (size_t)length)) {
        return SQLITE_FULL;
    }
    image_change(file->image, false, (size_t)offset, data, (size_t)length);
    return file->real->pMethods->xWrite(file->real, data, length, offset);
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct file *file = (struct file *)base;
    if (power_point(file->power)) {
        return SQLITE_IOERR_TRUNCATE;
    }
    image_change(file->image, true, (size_t)size, NULL, 0);
    return file->real->pMethods->xTruncate(file->real, size);
}

static int file_sync(sqlite3_file *base, int flags)
{
    struct file *file = (struct file *)base;
    (void)flags;
    if (power_point(file->power)) {
        return SQLITE_IOERR_FSYNC;
    }
    changes_settle(file->power, file->image, false);
    return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *size)
{
    struct file *file = (struct file *)base;
    return file->real->pMethods->xFileSize(file->real, size);
}

static int file_lock(sqlite3_file *base, int level)
{
    struct file *file = (struct file *)base;
    return file->real->pMethods->xLock(file->real, level);
}

static int file_unlock(sqlite3_file *base, int level)
{
    struct file *file = (struct file *)base;
    return file->real->pMethods->xUnlock(file->real, level);
}

static int file_reserved(sqlite3_file *base, int *out)
{
    struct file *file = (struct file *)base;
    return file->real->pMethods->xCheckReservedLock(file->real, out);
}

static int file_control(sqlite3_file *base, int operation, void *argument)
{
    struct file *file = (struct file *)base;
    return file->real->pMethods->xFileControl(file->real, operation, argument);
}

static int file_sector_size(sqlite3_file *base)
{
    struct file *file = (struct file *)base;
    return file->real->pMethods->xSectorSize(file->real);
}

static int file_characteristics(sqlite3_file *base)
{
    struct file *file = (struct file *)base;
    return file->real->pMethods->xDeviceCharacteristics(file->real);
}

/* Version 1: no shared memory. A store is locked for itself and has the log's index in memory. */
static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
};

/* ---- the VFS ---- */

static struct power *power_of(const char *path)
{
    struct power *power;
    LIST_FOREACH(power, &powers, next)
    {
        if (path != NULL && strncmp(path, power->directory, strlen(power->directory)) == 0) {
            return power;
        }
    }
    return NULL;
}

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags, int *out_flags)
{
    struct power *power = power_of(path);
    struct file *file = (struct file *)base;
    (void)vfs;
    if (power == NULL) { /* not of a store: the system's own file */
        return system_vfs->xOpen(system_vfs, path, base, flags, out_flags);
    }
    base->pMethods = NULL;
    if (power->off) {
        return SQLITE_CANTOPEN;
    }
    file->real = (sqlite3_file *)(file + 1);
    int code = system_vfs->xOpen(system_vfs, path, file->real, flags, out_flags);
    if (code == SQLITE_OK) {
        file->power = power;
        file->image = image_open(power, path);
        base->pMethods = &methods;
    }
    return code;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
    struct power *power = power_of(path);
    (void)vfs;
    if (power != NULL && power_point(power)) {
        return SQLITE_IOERR_DELETE;
    }
    struct image *image = power == NULL ? NULL : image_open(power, path);
    if (image != NULL) {
        image_free(image);
    }
    return system_vfs->xDelete(system_vfs, path, sync);
}

void power_install(void)
{
    static sqlite3_vfs vfs;
    if (system_vfs != NULL) {
        return;
    }
    system_vfs = sqlite3_vfs_find(NULL);
    vfs = *system_vfs;
    vfs.zName = "power";
    vfs.szOsFile = (int)sizeof(struct file) + system_vfs->szOsFile;
    vfs.xOpen = vfs_open;
    vfs.xDelete = vfs_delete;
    if (sqlite3_vfs_register(&vfs, 1) != SQLITE_OK) {
        abort();
    }
}
