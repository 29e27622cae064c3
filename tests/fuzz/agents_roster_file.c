/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agents/in-cse/roster_file.h"

#include "fuzz.h"

/* A foreign CSV file: what is returned is whole, what is refused has a reason. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char header[] = "name,kind,mode,psk_file,site,functions\n";
    struct roster_file file;
    char why[256] = "";
    char *text = malloc(sizeof(header) + size);
    ALWAYS(text != NULL);
    memcpy(text, header, sizeof(header) - 1);
    if (size > 0) {
        memcpy(text + sizeof(header) - 1, data, size);
    }
    FILE *stream = fmemopen(text, sizeof(header) - 1 + size, "r");
    ALWAYS(stream != NULL);
    if (roster_file_read(stream, &file, why, sizeof(why))) {
        for (size_t i = 0; i < file.count; i++) {
            const struct roster_row *row = &file.rows[i];
            ALWAYS(row->name[0] != '\0' && row->psk == (row->psk_file[0] != '\0'));
            ALWAYS(row->mn_cse == (row->site[0] == '\0') && row->function_count <= ROSTER_FUNCTIONS_LIMIT);
        }
        roster_file_clear(&file);
    } else {
        ALWAYS(why[0] != '\0' && file.rows == NULL);
    }
    fclose(stream);
    free(text);
    return 0;
}
