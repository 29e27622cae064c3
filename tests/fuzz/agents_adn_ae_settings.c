/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/adn-ae/settings.h"

#include "input_file.h"

/* A configuration file of adn-ae: what is refused has a reason. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings settings;
    char why[512] = "";
    input_file_write(data, size);
    bool taken = settings_open(&settings, input_file_path(), why, sizeof(why));
    ALWAYS(taken == (why[0] == '\0'));
    settings_close(&settings);
    return 0;
}
