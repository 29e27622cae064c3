# SPDX-License-Identifier: GPL-3.0-or-later
"""Several sites with real processes: each MN-CSE in a broker of its own, joined by a bridge of its own to the broker
of the one IN-CSE."""

import os
import shutil
import tempfile
from pathlib import Path

from harness.broker import MOSQUITTO, Broker, accepts
from harness.pki import Pki
from harness.processes import Processes, free_ports, wait_until
from harness.site import IN_CSE, SP, Site

BRIDGE = "to-in-cse"


def bridge_topics(mn):
    """What a site's bridge carries: direction and topic, nothing wider."""
    return [("in", f"/oneM2M/req/in-cse/{mn}/json"), ("in", f"/oneM2M/resp/{mn}/in-cse/json"),
            ("out", f"/oneM2M/req/{mn}/in-cse/json"), ("out", f"/oneM2M/resp/in-cse/{mn}/json")]


class Hub:
    """The IN-CSE's broker: no plugin; each site's bridge may use its own topics only."""

    def __init__(self, processes, folder, pki, sites):
        self.processes = processes
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.pki = pki
        self.sites = sites
        self.certificate_port, self.psk_port = free_ports(2)
        self.bridges = []  # lines of bridges of its own
        self.process = None

    def _acl(self):
        lines = ["user in-cse", "topic readwrite /oneM2M/#"]
        for mn in self.sites:
            # The bridge writes what goes out of the site, and reads what goes in.
            lines += [f"user {mn}"] + [f"topic {'read' if direction == 'in' else 'write'} {topic}"
                                       for direction, topic in bridge_topics(mn)]
        return lines

    def start(self):
        (self.folder / "acl").write_text("\n".join(self._acl()) + "\n")
        (self.folder / "mosquitto.conf").write_text("\n".join([
            "per_listener_settings false", "allow_anonymous false", "log_dest stderr", "set_tcp_nodelay true",
            *(["user root"] if os.getuid() == 0 else []),
            f"acl_file {self.folder / 'acl'}", f"psk_file {self.pki.psk_file}",
            f"listener {self.certificate_port} 127.0.0.1", f"cafile {self.pki.hop_ca}",
            f"certfile {self.pki.file('hub', 'broker.pem')}", f"keyfile {self.pki.file('hub', 'broker.key')}",
            "require_certificate true", "use_identity_as_username true",
            f"listener {self.psk_port} 127.0.0.1", "psk_hint groupseal", "use_identity_as_username true",
            *self.bridges, ""]))
        self.process = self.processes.start("hub", [MOSQUITTO, "-c", self.folder / "mosquitto.conf"])
        wait_until(lambda: accepts(self.certificate_port) and accepts(self.psk_port), 10, "the IN-CSE's broker listens")
        return self.process


class Sites(Site):
    """`sites`: the devices of each MN-CSE by its name, as {"mn-1": [Device(…)], …}. A device's program, store and
    sockets are as in Site; devices and the IN-CSE connect to the brokers of their own."""

    def __init__(self, folder, build, sites):
        self.folder = Path(folder)
        self.build = Path(build)
        self.sites = sites
        self.devices = {device.stem: device for devices in sites.values() for device in devices}
        self.site_of = {device.stem: mn for mn, devices in sites.items() for device in devices}
        self.secenv_program = self.build / "bin" / "secenv"
        self.processes = Processes(self.folder / "logs")
        self.sockets = Path(tempfile.mkdtemp(prefix="groupseal-"))
        self.running = {}
        self.ports = {}
        self.pki = Pki(self.folder / "pki")
        self.hub = Hub(self.processes, self.folder / "hub", self.pki, sites)
        try:
            self._make_credentials()
            self.brokers = {mn: self._broker(mn) for mn in sites}
            self._make_stores()
            self._write_configurations()
        except BaseException:
            self.stop()
            raise

    def _make_credentials(self):
        self.pki.make("in-cse")
        self.pki.make("broker", "hub", "--address", "localhost", "--address", "127.0.0.1")
        for mn in self.sites:
            self.pki.make("broker", mn, "--address", "localhost", "--address", "127.0.0.1")
            self.pki.make("mn-cse", mn)
            self.pki.make("psk", mn, "hop")
        for device in self.devices.values():
            self.make_device_credentials(device)

    def _bridge_lines(self, mn):
        key = self.pki.file(mn, "hop.psk").read_text().strip()
        return [f"connection {BRIDGE}", f"address localhost:{self.hub.psk_port}", f"local_username {BRIDGE}",
                f"remote_clientid C::{mn}", f"bridge_identity {mn}", f"bridge_psk {key}", "bridge_protocol_version mqttv311",
                "cleansession true", "notifications false", "restart_timeout 1 5",
                *(f'topic {topic} {direction} 1' for direction, topic in bridge_topics(mn))]

    def _broker(self, mn):
        options = {"cse_id": f"//{SP}/{mn}", "in_cse": IN_CSE, "identity": f"//{SP}/%u", "foreign": "allow",
                   "in_cse_bridge": BRIDGE, "secenv_store": self.store(mn), "secenv_program": self.secenv_program,
                   "secenv_audit_socket": self.socket(f"{mn}-audit")}
        made = Broker(self.processes, self.folder / f"broker-{mn}", self.pki, mn, self.build, options,
                      foreign_lines=self._bridge_lines(mn))
        made.name = f"broker-{mn}"
        return made

    def bridge_from_the_hub(self):
        """The other way round: the IN-CSE's broker makes the bridges, and is a client of each site's broker."""
        for mn, broker in self.brokers.items():
            broker.foreign_lines = []
            del broker.plugin["in_cse_bridge"]
            self.hub.bridges += [
                f"connection to-{mn}", f"address localhost:{broker.certificate_port}", "remote_clientid C::in-cse",
                f"local_clientid to-{mn}",
                f"bridge_cafile {self.pki.hop_ca}", f"bridge_certfile {self.pki.file('in-cse', 'hop.pem')}",
                f"bridge_keyfile {self.pki.file('in-cse', 'hop.key')}", "bridge_protocol_version mqttv311",
                "cleansession true", "notifications false", "restart_timeout 1 5",
                *(f"topic {topic} {'out' if direction == 'in' else 'in'} 1" for direction, topic in bridge_topics(mn))]

    def _make_stores(self):
        (self.folder / "store").mkdir()
        self.provision("authority", "in-cse", IN_CSE, "in-cse", "cert")
        for mn in self.sites:
            self.provision(mn, "mn-cse", f"//{SP}/{mn}", mn, "cert")
        for device in self.devices.values():
            self.provision(device.stem, "adn-ae", device.identity, device.stem, device.mode)

    def _broker_port(self, hop, name):
        broker = self.hub if name == "in-cse" else self.brokers[self.site_of[name]]
        return broker.certificate_port if hop == "cert" else broker.psk_port

    def _registrar(self, device):
        return f"//{SP}/{self.site_of[device.stem]}"

    def start_broker(self, mn):
        self.brokers[mn].start()
        self.running[f"broker-{mn}"] = self.brokers[mn].process

    def add_members(self):
        rows = ["name,kind,mode,psk_file,site,functions"]
        rows += [f"//{SP}/{mn},mn-cse,cert,,," for mn in self.sites]
        for device in self.devices.values():
            key = self.pki.file(device.stem, "e2e.psk") if device.mode == "psk" else ""
            rows.append(f"{device.identity},adn-ae,{device.mode},{key},{self._registrar(device)},{device.function}")
        roster = self.folder / "members.csv"
        roster.write_text("\n".join(rows) + "\n")
        self.operator("member", "import", roster)

    def move(self, stem, mn):
        """The operator moves a device; its configuration has the new registrar and broker from its next start on."""
        self.operator("member", "move", self.devices[stem].identity, "--site", f"//{SP}/{mn}")
        self.site_of[stem] = mn
        self.write_device_configuration(self.devices[stem])

    def start_all(self, groups):
        """`groups`: for each name its function and its MN-CSEs, as {"doors-1": ("door", "mn-1")}."""
        self.start_authority()
        self.add_members()
        for name, (function, *mns) in groups.items():
            at = [argument for mn in mns for argument in ("--site", f"//{SP}/{mn}")]
            self.operator("group", "create", name, "--function", function, *at)
        self.hub.start()
        for mn in self.sites:
            self.start_broker(mn)
        self.start_in_cse()
        for stem in self.devices:
            self.start_device(stem)
        self.wait_ready()

    def stop(self):
        self.processes.stop()
        shutil.rmtree(self.sockets, ignore_errors=True)
