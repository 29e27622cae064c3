/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/psk_file.h"

#include "input_file.h"

/* A file with a pre-shared key: what is refused has a reason. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t key[PSK_LIMIT];
    size_t length = 0;
    char why[512] = "";
    input_file_write(data, size);
    bool taken = psk_file_read(input_file_path(), key, sizeof(key), &length, why, sizeof(why));
    ALWAYS(taken ? length >= 16 && length <= sizeof(key) : why[0] != '\0');
    return 0;
}
