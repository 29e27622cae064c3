# SPDX-License-Identifier: GPL-3.0-or-later
"""certs/groupseal-pki, for tests."""

from pathlib import Path

from harness.processes import REPOSITORY, run

PROGRAM = REPOSITORY / "certs" / "groupseal-pki"


class Pki:
    """A PKI in a folder of its own."""

    def __init__(self, folder, sp="sp.example", in_cse="in-cse"):
        self.folder = Path(folder)
        self.sp = sp
        run([PROGRAM, "init", self.folder, "--sp", sp, "--in-cse", in_cse])

    def make(self, *arguments):
        """Runs a command: make("device", "Sdoor1")."""
        return run([PROGRAM, "--dir", self.folder, *arguments]).stdout.split()

    def file(self, name, kind):
        """issued("Sdoor1", "e2e.pem")"""
        return self.folder / "issued" / name / kind

    @property
    def hop_ca(self):
        return self.folder / "hop" / "ca.pem"

    @property
    def e2e_ca(self):
        return self.folder / "e2e" / "ca.pem"

    @property
    def psk_file(self):
        return self.folder / "hop" / "psk_file"
