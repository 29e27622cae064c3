# SPDX-License-Identifier: GPL-3.0-or-later
"""A private Mosquitto with the plugin: one TLS listener for certificates, one for pre-shared keys."""

import os
import socket
from pathlib import Path

from harness.processes import Failure, clean_environment, free_ports, wait_until


# The broker to test: Debian's of this machine, or another series (tests/brokers/root).
MOSQUITTO = os.environ.get("GROUPSEAL_BROKER", "mosquitto")


def accepts(port):
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def broker_environment():
    """With a sanitizer's library, where the plugin is built with it and the broker is not."""
    environment = clean_environment()
    if "GROUPSEAL_BROKER_PRELOAD" in os.environ:
        environment["LD_PRELOAD"] = os.environ["GROUPSEAL_BROKER_PRELOAD"]
    return environment


class Broker:
    """Configuration and process of a broker of an MN-CSE. `plugin` holds the plugin_opt_ lines by name."""

    def __init__(self, processes, folder, pki, cse, build, plugin, tap=None, foreign_lines=()):
        self.processes = processes
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pki = pki
        self.cse = cse
        self.build = Path(build)
        self.plugin = plugin
        self.tap = tap
        self.foreign_lines = list(foreign_lines)
        self.one_client = True  # a name is one client: whose client id it uses is not for it to choose
        self.certificate_port, self.psk_port = free_ports(2)
        self.name = "broker"  # of its process and log
        self.process = None

    @property
    def configuration(self):
        return self.folder / "mosquitto.conf"

    def write(self):
        database = self.folder / "data"
        database.mkdir(exist_ok=True)
        one_client = ["use_username_as_clientid true"] if self.one_client else []
        lines = ["per_listener_settings false", "allow_anonymous false", "log_type all", "log_dest stderr",
                 "set_tcp_nodelay true", "persistence true", f"persistence_location {database}/"]
        if os.getuid() == 0:
            # Else it would become the user mosquitto, who may not read this test's files.
            lines.append("user root")
        if self.tap:
            lines += [f"plugin {self.build}/lib/tap.so", f"plugin_opt_file {self.tap}"]
        lines.append(f"plugin {self.build}/lib/mn_cse.so")
        lines += [f"plugin_opt_{name} {value}" for name, value in self.plugin.items()]
        lines += self.foreign_lines
        lines += [f"psk_file {self.pki.psk_file}",
                  "", f"listener {self.certificate_port} 127.0.0.1",
                  f"cafile {self.pki.hop_ca}", f"crlfile {self.pki.folder}/hop/crl.pem",
                  f"certfile {self.pki.file(self.cse, 'broker.pem')}",
                  f"keyfile {self.pki.file(self.cse, 'broker.key')}",
                  "require_certificate true", "use_identity_as_username true", *one_client,
                  "", f"listener {self.psk_port} 127.0.0.1", "psk_hint groupseal",
                  "use_identity_as_username true", *one_client, ""]
        self.configuration.write_text("\n".join(lines))

    def start(self):
        self.write()
        self.process = self.processes.start(self.name, [MOSQUITTO, "-c", self.configuration], env=broker_environment())
        wait_until(lambda: not self.process.running() or (accepts(self.certificate_port) and accepts(self.psk_port)),
                   10, "the broker listens")
        if not self.process.running():
            raise Failure(f"the broker ended at once:\n{self.process.text()[-2000:]}")
