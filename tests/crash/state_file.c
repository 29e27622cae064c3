/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "plugin/broker/state_file.h"
#include "tests/crash/disk.h"

/*
 * The plugin's state file, cut at every point of a broker's life with it: a start, changes, the file written
 * anew while others come, an end. Whatever is left, the next start goes well; each thing is as it was when it
 * was last synced, or as one of its changes since has made it, and the start says whether something is
 * missing.
 */
#define THINGS 5u
#define TEARS 12u /* ways in which the same cut tears */

struct life {
    struct disk *disk;
    char path[96];
    unsigned tried[THINGS];    /* the last change of each */
    unsigned kept[THINGS];     /* the last that was taken */
    unsigned promised[THINGS]; /* the last that was synced */
    unsigned now[THINGS];      /* as the start has told */
    struct state_file_found found;
    size_t cuts;
};

static void hear(void *context, const char *line, size_t length)
{
    struct life *life = context;
    char text[32];
    unsigned thing = 0;
    unsigned change = 0;
    int end = 0;
    assert_true(length < sizeof(text));
    memcpy(text, line, length);
    text[length] = '\0';
    assert_int_equal(sscanf(text, "thing %u is %u%n", &thing, &change, &end), 2);
    assert_true((size_t)end == length && thing < THINGS && change <= life->tried[thing]);
    life->now[thing] = change;
}

static bool put(struct state_file *file, unsigned thing, unsigned change)
{
    char line[32];
    int length = snprintf(line, sizeof(line), "thing %u is %u", thing, change);
    return state_file_append(file, line, (size_t)length);
}

static void change(struct life *life, struct state_file *file, unsigned thing)
{
    life->tried[thing]++;
    if (put(file, thing, life->tried[thing])) {
        life->kept[thing] = life->tried[thing];
    }
}

static void promise(struct life *life, const struct state_file *file)
{
    if (state_file_sync(file) == 0) {
        memcpy(life->promised, life->kept, sizeof(life->promised));
    }
}

static bool begin(struct life *life, struct state_file *file)
{
    char why[256];
    if (!state_file_begin(file, why, sizeof(why))) {
        return false;
    }
    bool all = true;
    for (unsigned thing = 0; thing < THINGS; thing++) {
        all = put(file, thing, life->kept[thing]) && all;
    }
    if (!all) {
        state_file_abandon(file);
        return false;
    }
    state_file_begun(file);
    return true;
}

static void settle(struct life *life, struct state_file *file)
{
    if (state_file_settle(file) != 0) {
        state_file_abandon(file);
        return;
    }
    state_file_commit(file);
    promise(life, file);
}

/* As keeper.c goes about it. */
static void live(struct life *life, struct state_file *file)
{
    if (begin(life, file)) {
        settle(life, file);
    }
    change(life, file, 0);
    change(life, file, 1);
    promise(life, file);
    change(life, file, 1);
    change(life, file, 2);
    if (begin(life, file)) {
        change(life, file, 3);
        settle(life, file);
    }
    change(life, file, 4);
    change(life, file, 0);
    promise(life, file);
    change(life, file, 2);
}

/* What the next start finds. */
static struct state_file *start(struct life *life, enum power_loss loss, bool cut)
{
    char why[256] = "";
    memset(life->now, 0, sizeof(life->now));
    struct state_file *file = state_file_open(life->path, hear, life, &life->found, why, sizeof(why));
    if (file == NULL) {
        fail_msg("%s", why);
    }
    for (unsigned thing = 0; thing < THINGS; thing++) {
        if (life->now[thing] < life->promised[thing] ||
            (loss == POWER_KILL && life->now[thing] < life->kept[thing])) {
            fail_msg("thing %u is %u, %u was promised, %u written", thing, life->now[thing],
                     life->promised[thing], life->kept[thing]);
        }
    }
    if (!cut || loss == POWER_OFF) {
        assert_int_equal(life->found.lost, 0);
    }
    if (loss != POWER_TORN) {
        assert_false(life->found.damaged);
    }
    memcpy(life->tried, life->now, sizeof(life->tried));
    memcpy(life->kept, life->now, sizeof(life->kept));
    memcpy(life->promised, life->now, sizeof(life->promised));
    return file;
}

/* False: the life had passed all its points. */
static bool life_cut(struct life *life, enum power_loss loss, size_t at, uint64_t seed)
{
    struct state_file *file = start(life, loss, false);
    disk_arm(life->disk, loss, at, seed);
    live(life, file);
    bool cut = disk_is_off(life->disk);
    state_file_close(file);
    disk_return(life->disk);
    life->cuts += cut;
    /* Again, in the midst of the start that follows. */
    file = start(life, loss, cut);
    disk_arm(life->disk, loss, seed % 150, seed);
    if (begin(life, file)) {
        settle(life, file);
    }
    bool again = disk_is_off(life->disk);
    life->cuts += again;
    state_file_close(file);
    disk_return(life->disk);
    file = start(life, loss, cut || again);
    if (begin(life, file)) {
        settle(life, file);
    }
    state_file_close(file);
    disk_return(life->disk);
    return cut;
}

static void every_point(void **state)
{
    struct life *life = *state;
    uint64_t seed = 1;
    for (unsigned loss = 0; loss < POWER_LOSSES; loss++) {
        size_t at = 0;
        bool cut = true;
        for (; cut; at++) {
            for (unsigned tear = 0; cut && tear < (loss == POWER_TORN ? TEARS : 1); tear++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                cut = life_cut(life, (enum power_loss)loss, at, seed >> 16);
            }
        }
        assert_true(at > 500);
    }
    print_message("%zu cuts\n", life->cuts);
    assert_true(life->cuts > 15000);
}

static int life_make(void **state)
{
    static struct life life;
    const char *folder = getenv("TMPDIR");
    char made[80];
    snprintf(made, sizeof(made), "%s/state_file.XXXXXX", folder == NULL ? "/tmp" : folder);
    assert_non_null(mkdtemp(made));
    snprintf(life.path, sizeof(life.path), "%s/state", made);
    life.disk = disk_new(life.path);
    *state = &life;
    return 0;
}

static int life_remove(void **state)
{
    struct life *life = *state;
    disk_free(life->disk);
    *strrchr(life->path, '/') = '\0';
    return rmdir(life->path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_point, life_make, life_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
