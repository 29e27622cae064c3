/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "secenv/member/packed.h"

/* protobuf-c's growing buffer, on top of one of ours: bounded, wiped when it grows. */
struct packing {
    ProtobufCBuffer base;
    struct buffer *out;
    enum result result;
};

static void packing_append(ProtobufCBuffer *base, size_t length, const uint8_t *data)
{
    struct packing *packing = (struct packing *)base;
    if (packing->result == RESULT_OK) {
        packing->result = buffer_append(packing->out, (struct bytes){data, length});
    }
}

enum result message_pack(const ProtobufCMessage *message, struct buffer *out)
{
    struct packing packing = {.base = {packing_append}, .out = out, .result = RESULT_OK};
    (void)protobuf_c_message_pack_to_buffer(message, &packing.base);
    if (packing.result != RESULT_OK) {
        buffer_clear(out);
    }
    return packing.result;
}
