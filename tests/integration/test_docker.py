# SPDX-License-Identifier: GPL-3.0-or-later
# ctest: full
"""The images and the site of docker/compose.yaml: started, seen to work, stopped."""

import json
import os
import subprocess

import pytest

from harness.processes import REPOSITORY, run, wait_until

COMPOSE_FILE = REPOSITORY / "docker" / "compose.yaml"
DOORS = ("//sp.example/Sdoor1", "//sp.example/Sdoor2", "//sp.example/Sdoor3")


def works(*command):
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.fixture(scope="module")
def images():
    if not works("docker", "info"):
        pytest.skip("no Docker engine answers here: images and compose file are not tried")
    run([REPOSITORY / "docker" / "base-image"], seconds=300)
    for part in ("agents", "broker"):
        run(["docker", "build", "-q", "-f", REPOSITORY / "docker" / f"Dockerfile.{part}", "-t", f"groupseal-{part}",
             REPOSITORY], seconds=900)


def compose_command():
    for command in (["docker", "compose"], ["docker-compose"]):
        if works(*command, "version"):
            return command
    pytest.skip("neither `docker compose` nor docker-compose is here")


class Compose:
    def __init__(self, folder):
        self.folder = folder
        self.command = [*compose_command(), "-p", f"groupseal-test-{os.getpid()}", "-f", str(COMPOSE_FILE)]
        self.environment = {**os.environ, "GROUPSEAL_SITE": str(folder)}

    def __call__(self, *arguments, check=True):
        return run([*self.command, *arguments], check=check, seconds=120, env=self.environment)

    def operator(self, *arguments, check=True):
        return self("exec", "-T", "authority", "in-cse", *arguments, "--config", "/site/operator/in-cse.conf", "--json",
                    check=check)


@pytest.fixture
def site(images, tmp_path):
    folder = tmp_path / "site"
    run([REPOSITORY / "docker" / "make-site", folder], seconds=120)
    compose = Compose(folder)
    try:
        compose("up", "-d")
        yield compose
    finally:
        print(compose("logs", "--no-color", "--tail", "20", check=False).stdout)
        compose("down", "-v", "-t", "3", check=False)


def test_site_works(site):
    wait_until(lambda: site.operator("member", "import", "/site/operator/members.csv", check=False).returncode == 0, 30,
               "the operator reaches the authority", every=0.5)
    site.operator("group", "create", "doors", "--function", "door", "--site", "//sp.example/mn-1")

    def all_close():
        result = site.operator("send", "doors", "close", check=False)
        if not result.stdout:
            return False  # no device has a key yet
        rows = {row["name"]: row for row in json.loads(result.stdout)["members"]}
        return set(rows) == set(DOORS) and all(row["outcome"] == "done" and row["detail"] == "close: done"
                                               for row in rows.values())

    wait_until(all_close, 60, "all doors close", every=1)
    for service in ("authority", "in-cse", "mn-secenv", "broker", "door1", "door2", "door3"):
        assert site("exec", "-T", service, "id", "-u").stdout.strip() != "0", service


@pytest.mark.parametrize("image", ["groupseal-agents", "groupseal-broker"])
def test_image_has_no_secret_and_no_root(images, image):
    def inside(*command):
        return run(["docker", "run", "--rm", "--network", "none", image, *command]).stdout

    assert inside("id", "-u").strip() != "0"
    found = inside("sh", "-c", "find / -xdev \\( -name '*.key' -o -name '*.psk' -o -name 'psk_file' -o -name '*.p12' "
                   "-o -name 'root.key' \\) 2>/dev/null || true")
    assert found.split() == []
    assert "PRIVATE KEY" not in inside("sh", "-c", "grep -rsl 'PRIVATE KEY-----' /etc /home /opt /srv /tmp /var "
                                       "/usr/lib/groupseal || true")
