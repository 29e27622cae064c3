/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A page of the authority's key tree, as a damaged store may have it. Input: row, height, the page. What is
 * read is written again as it was, and can be changed. */
#include "secenv/tree_page.h"

#include "tests/fuzz/fuzz.h"

static void page_change(struct tree_page *page, uint32_t height)
{
    static const struct secret leaf = {{1}};
    uint32_t levels = height - TREE_BLOCK_LEVELS * page->place.row;
    struct buffer packed = BUFFER_EMPTY(TREE_PACKED_MAX);
    tree_page_set(page, PAGE_BELOW, &leaf);
    tree_page_set(page, PAGE_BELOW + 1, NULL);
    ALWAYS(tree_page_refresh(page, levels < TREE_BLOCK_LEVELS ? levels : TREE_BLOCK_LEVELS) == RESULT_OK);
    ALWAYS(tree_page_pack(page, &packed) == RESULT_OK);
    ALWAYS(tree_packed_check(buffer_bytes(&packed), page->place.row, height) == RESULT_OK);
    buffer_clear(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tree_page page = {.place = {0, 0}};
    if (size < 2) {
        return 0;
    }
    uint32_t height = data[1];
    struct bytes bytes = {data + 2, size - 2};
    page.place.row = data[0];
    if (tree_page_read(bytes, height, &page) == RESULT_OK) {
        struct buffer again = BUFFER_EMPTY(TREE_PAGE_MAX);
        ALWAYS(tree_page_write(&page, &again) == RESULT_OK);
        ALWAYS(bytes_equal(bytes, buffer_bytes(&again)));
        buffer_clear(&again);
        page_change(&page, height);
    }
    return 0;
}
