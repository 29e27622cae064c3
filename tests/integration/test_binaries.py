# SPDX-License-Identifier: GPL-3.0-or-later
"""What the programs link and export."""

import pytest

from harness.processes import run


def needed(path):
    """All shared libraries that the program loads, those of its libraries too."""
    return [line.split()[0] for line in run(["ldd", path]).stdout.splitlines()]


def test_plugin_exports_three_symbols(build):
    symbols = run(["nm", "-D", "--defined-only", build / "lib" / "mn_cse.so"]).stdout.split("\n")
    assert sorted(line.split()[-1] for line in symbols if line) == [
        "mosquitto_plugin_cleanup", "mosquitto_plugin_init", "mosquitto_plugin_version"]


# src/linker.syms of Mosquitto 2.0.11: what every broker of the supported range exports.
BROKER_2_0 = {f"mosquitto_{name}" for name in (
    "broker_publish broker_publish_copy callback_register callback_unregister calloc malloc realloc strdup free "
    "client_address client_certificate client_clean_session client_id client_keepalive client_protocol "
    "client_protocol_version client_sub_count client_username kick_client_by_clientid kick_client_by_username "
    "log_printf property_add_binary property_add_byte property_add_int16 property_add_int32 property_add_string "
    "property_add_string_pair property_add_varint property_free_all pub_topic_check sub_topic_check set_username "
    "topic_matches_sub validate_utf8").split()}


def test_plugin_needs_only_what_every_broker_exports(build):
    symbols = run(["nm", "-D", "--undefined-only", build / "lib" / "mn_cse.so"]).stdout.splitlines()
    wanted = {line.split()[-1] for line in symbols if line.split()[0] == "U"}
    assert {name for name in wanted if name.startswith("mosquitto_")} <= BROKER_2_0


@pytest.mark.parametrize("path", ["lib/mn_cse.so", "bin/in-cse", "bin/adn-ae"])
def test_only_secenv_links_wolfssl(build, path):
    assert not [name for name in needed(build / path) if "wolfssl" in name]
    symbols = run(["nm", "-a", build / path]).stdout
    assert "wolfSSL" not in symbols and " wc_" not in symbols


def test_secenv_links_wolfssl_and_no_other_tls(build):
    libraries = needed(build / "bin" / "secenv")
    assert [name for name in libraries if "wolfssl" in name]
    assert not [name for name in libraries if name.startswith(("libssl", "libcrypto", "libpaho", "libmosquitto"))]


@pytest.mark.parametrize("path", ["lib/mn_cse.so", "bin/in-cse", "bin/adn-ae", "bin/secenv"])
def test_hardening(build, path):
    headers = run(["readelf", "-W", "-l", "-d", build / path]).stdout
    assert "GNU_RELRO" in headers and "BIND_NOW" in headers
    stack = next(line for line in headers.splitlines() if "GNU_STACK" in line)
    assert "RWE" not in stack
