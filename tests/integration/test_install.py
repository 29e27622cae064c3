# SPDX-License-Identifier: GPL-3.0-or-later
"""`cmake --install`, and the services in docs/examples/systemd: what they start is what there is."""

import configparser
import os
import re
import shutil

import pytest
from harness.processes import REPOSITORY, run, wait_until

UNITS = REPOSITORY / "docs" / "examples" / "systemd"
PROGRAMS = ["adn-ae", "groupseal-pki", "in-cse", "mn-cse-check", "secenv"]


@pytest.fixture(scope="module")
def root(build, tmp_path_factory):
    folder = tmp_path_factory.mktemp("root")
    settings = dict(re.findall(r"^CMAKE_INSTALL_(\w+):\w+=(.*)$", (build / "CMakeCache.txt").read_text(), re.MULTILINE))
    run(["cmake", "--install", build], seconds=60, env={**os.environ, "DESTDIR": str(folder)})
    return folder / settings["PREFIX"].lstrip("/"), settings


def test_everything_is_installed(root):
    folder, settings = root
    assert sorted(file.name for file in (folder / "bin").iterdir()) == PROGRAMS
    assert (folder / settings["LIBDIR"] / "groupseal" / "mn_cse.so").exists()
    pages = {file.stem for section in ("man1", "man5", "man8") for file in (folder / "share" / "man" / section).iterdir()}
    assert set(PROGRAMS) | {"mn_cse", "groupseal.conf"} == pages
    documents = folder / "share" / "doc" / "groupseal"
    assert (documents / "operations.md").exists() and (documents / "examples" / "systemd").is_dir()
    for program in PROGRAMS:
        assert "sage:" in run([folder / "bin" / program, "--help"]).stdout


def unit(name):
    text = (UNITS / name).read_text().replace("\\\n", " ")
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(text)
    return parser["Service"]


@pytest.mark.skipif(os.geteuid() != 0, reason="secenv gives its sockets to another user")
@pytest.mark.parametrize("name, kind, entity", [("groupseal-mn", "mn-cse", "mn-1"),
                                                ("groupseal-authority", "in-cse", "in-cse")])
def test_secure_environments_start_as_their_service_says(build, processes, pki, open_folder, name, kind, entity):
    """With the store, the sockets' folder and the users of the test's in place of the service's."""
    pki.make(kind if kind == "in-cse" else "mn-cse", entity)
    store = open_folder / "store"
    run([build / "bin" / "secenv", "provision", "--store", store, "--profile",
         "authority" if kind == "in-cse" else "member", "--kind", kind, "--id", f"//sp.example/{entity}", "--in-cse",
         "//sp.example/in-cse", "--mode", "cert", "--certificate", pki.file(entity, "e2e.pem"), "--private-key",
         pki.file(entity, "e2e.key"), "--trust-anchors", pki.e2e_ca, "--crl", pki.folder / "e2e" / "crl.pem"])
    command = unit(f"{name}.service")["ExecStart"].split()
    assert command[:2] == ["/usr/bin/secenv", "run"]
    for index, word in enumerate(list(command)):
        if word == "--store":
            command[index + 1] = store
        elif word.endswith("-socket"):
            command[index + 1] = open_folder / command[index + 1].rsplit("/", 1)[1]
        elif word == "--owner-uid":
            command[index + 1] = "nobody"
        elif word == "--operator-gid":
            command[index + 1] = "nogroup"
    process = processes.start(name, [build / "bin" / "secenv", *command[1:]])
    wait_until(lambda: "secenv: ready" in process.text() or not process.running(), 20, "it is ready")
    assert process.running()
    unknown = run([build / "bin" / "secenv", *command[1:], "--owner-uid", "no-such-user"], check=False)
    assert unknown.returncode != 0 and "no-such-user is no user of this system" in unknown.stderr


def test_agents_start_as_their_service_says():
    """In the words in which the harness starts them everywhere (Site.start_in_cse, Site.start_device)."""
    assert unit("groupseal-in-cse.service")["ExecStart"] == "/usr/bin/in-cse run --config /etc/groupseal/in-cse.conf"
    assert unit("groupseal-adn-ae@.service")["ExecStart"] == "/usr/bin/adn-ae run --config /etc/groupseal/%i.conf"
    harness = (REPOSITORY / "tests" / "harness" / "site.py").read_text()
    assert '"in-cse", "run", "--config"' in harness and '"adn-ae", "run", "--config"' in harness


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_understands_the_services(tmp_path):
    (tmp_path / "usr" / "bin").mkdir(parents=True)
    for program in ("secenv", "in-cse", "adn-ae"):
        (tmp_path / "usr" / "bin" / program).write_text("#!/bin/sh\n")
        (tmp_path / "usr" / "bin" / program).chmod(0o755)
    folder = tmp_path / "etc" / "systemd" / "system"
    folder.mkdir(parents=True)
    for file in UNITS.iterdir():
        shutil.copy(file, folder / file.name.replace("@.", "@Sdoor1."))
    (folder / "spoilt.service").write_text("[Service]\nExecStrat=/usr/bin/secenv run\n")

    def complaints(name):
        result = run(["systemd-analyze", "verify", f"--root={tmp_path}", "--man=no", name], check=False)
        # A root without systemd's own units: that these are missing is none of our business.
        return [line for line in (result.stdout + result.stderr).splitlines()
                if ".service" in line and not re.search(r"Unit \S+ not found", line)]
    assert complaints("spoilt.service")
    for file in sorted(folder.glob("groupseal-*")):
        assert complaints(file.name) == []
