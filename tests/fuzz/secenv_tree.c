/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Packed nodes and the climb through them. Input: height, leaf index (2 bytes), then for each row a u16
 * length and so many bytes. */
#include "secenv/tree.h"

#include "tests/fuzz/fuzz.h"

#define ROWS_MAX 5u

static bool take(const uint8_t **data, size_t *size, void *out, size_t length)
{
    if (*size < length) {
        return false;
    }
    memcpy(out, *data, length);
    *data += length;
    *size -= length;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t head[3];
    uint8_t length[2];
    struct bytes blocks[ROWS_MAX];
    size_t count = 0;
    if (!take(&data, &size, head, sizeof(head))) {
        return 0;
    }
    uint32_t height = head[0];
    bool good = true;
    while (count < ROWS_MAX && take(&data, &size, length, sizeof(length))) {
        size_t wanted = (size_t)(length[0] << 8 | length[1]);
        blocks[count] = (struct bytes){data, wanted < size ? wanted : size};
        data += blocks[count].length;
        size -= blocks[count].length;
        good = tree_packed_check(blocks[count], (uint32_t)count, height) == RESULT_OK && good;
        count++;
    }
    static const struct secret leaf = {{1}};
    struct secret root;
    enum result result = tree_climb(&leaf, (uint32_t)(head[1] << 8 | head[2]), height, blocks, count, &root);
    ALWAYS(result != RESULT_OK || good); /* nothing is climbed through that the check refuses */
    return 0;
}
