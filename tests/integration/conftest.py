# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the integration tests: each test has a folder of its own, and leaves nothing running."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.pki import Pki  # noqa: E402
from harness.processes import Processes  # noqa: E402
from harness.site import Site  # noqa: E402


@pytest.fixture(scope="session")
def build():
    """The build folder that is tested (ctest sets it)."""
    folder = os.environ.get("GROUPSEAL_BUILD")
    if not folder:
        pytest.fail("GROUPSEAL_BUILD must name the build folder to test; ctest sets it")
    return Path(folder).resolve()


@pytest.fixture
def open_folder():
    """A folder that other users can enter. tmp_path is none: each pytest that starts closes its root to them again."""
    with tempfile.TemporaryDirectory(prefix="groupseal-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def processes(tmp_path):
    """Starts programs; stops them at the end, and shows the end of their logs when the test failed."""
    started = Processes(tmp_path / "logs")
    yield started
    started.stop()


@pytest.fixture
def pki(tmp_path):
    return Pki(tmp_path / "pki")


@pytest.fixture
def make_site(tmp_path, build):
    """Makes sites; stops them at the end. Their logs are printed: pytest shows them where the test failed."""
    sites = []

    def make(devices, **options):
        sites.append(Site(tmp_path / f"site{len(sites)}", build, devices, **options))
        return sites[-1]

    yield make
    for site in sites:
        site.stop()
        print(site.processes.logs())
