# SPDX-License-Identifier: GPL-3.0-or-later
"""mn-cse-check: what it says of a good configuration, of wrong ones, of included files; and its exit status."""

import re

import pytest
from harness.processes import REPOSITORY, run

GOOD = ["per_listener_settings false", "plugin /usr/lib/groupseal/mn_cse.so", "plugin_opt_cse_id //sp.example/mn-1",
        "plugin_opt_in_cse //sp.example/in-cse", "plugin_opt_identity //sp.example/%u", "plugin_opt_foreign allow",
        "plugin_opt_secenv_socket /run/groupseal-mn/owner.sock", "listener 8883", "cafile ca.pem", "certfile b.pem",
        "keyfile b.key", "require_certificate true", "use_identity_as_username true", "use_username_as_clientid true"]


@pytest.fixture
def check(build, tmp_path):
    def checked(lines, check=False):
        file = tmp_path / "mosquitto.conf"
        file.write_text("\n".join(lines) + "\n")
        return run([build / "bin" / "mn-cse-check", file], check=check)
    return checked


def test_good(check):
    assert check(GOOD, True).stdout == "0 errors, 0 warnings\n"


def test_wrong(check, tmp_path):
    result = check([line for line in GOOD if not line.startswith(("use_identity", "require"))])
    assert result.returncode == 1
    assert f"{tmp_path}/mosquitto.conf:8: error: nothing proves a client's name here: write" in result.stdout
    warned = check([line for line in GOOD if not line.startswith("use_username")])
    assert warned.returncode == 0 and "mosquitto.conf:8: warning: a client can end another's" in warned.stdout


def test_included(check, tmp_path):
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "bridge.conf").write_text("connection x\naddress other:1883\ntopic # both 1\n")
    (folder / "notes.txt").write_text("topic # both 1\nconnection y\n")
    result = check([*GOOD, f"include_dir {folder}"])
    assert result.returncode == 1
    assert f"{folder}/bridge.conf:3: error: this bridge carries group topics (#)" in result.stdout
    assert "notes.txt" not in result.stdout
    (folder / "bridge.conf").write_text("connection x\naddress other:1883\ntopic sensors/# both 1\n")
    assert check([*GOOD, f"include_dir {folder}"]).returncode == 0
    (folder / "more.conf").write_text(f"include_dir {folder}\n")
    assert check([*GOOD, f"include_dir {folder}"]).returncode == 2


def test_bridge_of_the_guide(check):
    """What docs/operations.md shows for many sites; and the same with one line wider."""
    text = (REPOSITORY / "docs" / "operations.md").read_text()
    block = re.search(r"^    plugin_opt_in_cse_bridge (?:.*\n)+?(?=\n?\(With)", text, re.MULTILINE).group(0)
    shown = [line.strip() for line in block.splitlines() if line.strip()]
    assert len([line for line in shown if line.startswith("topic ")]) == 4
    lines = [*GOOD[:7], shown[0], *GOOD[7:], *shown[1:]]
    assert check(lines).stdout == "0 errors, 0 warnings\n"
    wider = [line.replace("/oneM2M/req/in-cse/mn-1/json in", "/oneM2M/req/+/mn-1/json in") for line in lines]
    result = check(wider)
    assert result.returncode == 1 and "this bridge carries more of /oneM2M/" in result.stdout


def test_settings_file(check, tmp_path):
    settings = tmp_path / "groupseal.settings"
    lines = [*(line for line in GOOD if "foreign" not in line)]
    lines.insert(5, f"plugin_opt_settings {settings}")
    settings.write_text("foreign allow\nmode watch\n")
    result = check(lines)
    assert result.returncode == 1 and f"{settings} line 2: mode watch is not known" in result.stdout
    settings.write_text("foreign allow\nmode enforce\n")
    assert check(lines).returncode == 0


def test_usage(build, tmp_path):
    program = build / "bin" / "mn-cse-check"
    assert run([program, tmp_path / "none.conf"], check=False).returncode == 2
    assert run([program], check=False).returncode == 2
    assert "Exit status" in run([program, "--help"]).stdout
    assert run([program, "--version"]).stdout.startswith("mn-cse-check (Groupseal)")


@pytest.mark.parametrize("program", ["mn-cse-check", "secenv", "adn-ae", "in-cse"])
def test_every_program_tells_its_version(build, program):
    assert run([build / "bin" / program, "--version"]).stdout.startswith(f"{program} (Groupseal)")
