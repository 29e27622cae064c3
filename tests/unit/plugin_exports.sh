#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# plugin_exports.sh MN_CSE.SO: exports exactly the plugin interface's three functions, needs of the broker only what
# Mosquitto 2.0.11 exports (weak ones aside), and links no wolfSSL and no OpenSSL.
set -eu
export LC_ALL=C
module=$1
fail() {
    echo "plugin_exports: $1" >&2
    exit 1
}

exported=$(nm -D --defined-only "$module" | awk '{ print $3 }' | sort | tr '\n' ' ')
[ "$exported" = "mosquitto_plugin_cleanup mosquitto_plugin_init mosquitto_plugin_version " ] ||
    fail "exports: $exported"

# src/linker.syms of 2.0.11
for suffix in broker_publish broker_publish_copy callback_register callback_unregister calloc malloc realloc strdup \
    free client_address client_certificate client_clean_session client_id client_keepalive client_protocol \
    client_protocol_version client_sub_count client_username kick_client_by_clientid kick_client_by_username \
    log_printf property_add_binary property_add_byte property_add_int16 property_add_int32 property_add_string \
    property_add_string_pair property_add_varint property_free_all pub_topic_check sub_topic_check set_username \
    topic_matches_sub validate_utf8; do
    echo "mosquitto_$suffix"
done | sort >"${TMPDIR:-/tmp}/plugin_exports.$$"
unknown=$(nm -D --undefined-only "$module" | awk '$1 == "U" && $2 ~ /^mosquitto_/ { print $2 }' | sort |
    comm -23 - "${TMPDIR:-/tmp}/plugin_exports.$$")
rm -f "${TMPDIR:-/tmp}/plugin_exports.$$"
[ -z "$unknown" ] || fail "needs of the broker what 2.0.11 does not export: $unknown"

if objdump -p "$module" | grep -E 'NEEDED +lib(wolfssl|ssl|crypto|mosquitto)'; then
    fail "links a library that it may not"
fi
