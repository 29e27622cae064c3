# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole site with real processes: IN-CSE, MN-CSE in a broker, devices, each with its secure environment."""

import json
import shutil
import socket
import tempfile
import time
from pathlib import Path

from harness.broker import Broker
from harness.pki import Pki
from harness.processes import Failure, Processes, run, wait_until, whole_lines

SP = "sp.example"
IN_CSE = f"//{SP}/in-cse"
MN_CSE = f"//{SP}/mn-1"


class Device:
    """An ADN-AE. `mode` is that of the end-to-end authentication, `hop` that of its TLS; "cert" or "psk"."""

    def __init__(self, stem, function, mode="cert", hop=None):
        self.stem = stem
        self.function = function
        self.mode = mode
        self.hop = hop or mode
        self.identity = f"//{SP}/{stem}"
        self.process = None


class Site:
    """
    Made in the order: __init__ (PKI, stores, configuration), start_…; stop() ends all. Sockets are in a short
    folder of their own, since a UNIX socket's path has at most 107 bytes.
    """

    def __init__(self, folder, build, devices, mn_mode="cert", tap=False, secenv="secenv", embedded_mn=False,
                 ports=None):
        self.folder = Path(folder)
        self.build = Path(build)
        self.devices = {device.stem: device for device in devices}
        self.mn_mode = mn_mode
        self.embedded_mn = embedded_mn
        self.secenv_program = self.build / "bin" / secenv
        self.processes = Processes(self.folder / "logs")
        self.sockets = Path(tempfile.mkdtemp(prefix="groupseal-"))
        self.running = {}
        self.pki = Pki(self.folder / "pki")
        self.tap = self.folder / "tap" if tap else None
        self.broker = Broker(self.processes, self.folder / "broker", self.pki, "mn-1", self.build,
                             self._plugin_options(), self.tap)
        self.ports = ports or {}  # of relays before the listeners
        try:
            self._make_credentials()
            self._make_stores()
            self._write_configurations()
        except BaseException:
            self.stop()
            raise

    # -- what is made before anything runs ------------------------------------------------------------------

    def _plugin_options(self):
        options = {"cse_id": MN_CSE, "in_cse": IN_CSE, "identity": f"//{SP}/%u", "foreign": "allow"}
        if self.embedded_mn:
            options |= {"secenv_store": self.store("mn"), "secenv_program": self.secenv_program,
                        "secenv_audit_socket": self.socket("mn-audit")}
        else:
            options["secenv_socket"] = self.socket("mn")
        return options

    def _make_credentials(self):
        self.pki.make("in-cse")
        self.pki.make("broker", "mn-1", "--address", "localhost", "--address", "127.0.0.1")
        if self.mn_mode == "cert":
            self.pki.make("mn-cse", "mn-1")
        else:
            self.pki.make("psk", "mn-1", "e2e")
        for device in self.devices.values():
            self.make_device_credentials(device)

    def make_device_credentials(self, device):
        if "cert" in (device.mode, device.hop):
            self.pki.make("device", device.stem)
        if "psk" in (device.mode, device.hop):
            self.pki.make("psk", device.stem)

    def store(self, name):
        return self.folder / "store" / name

    def socket(self, name):
        return self.sockets / name

    def _make_stores(self):
        (self.folder / "store").mkdir()
        self.provision("authority", "in-cse", IN_CSE, "in-cse", "cert")
        self.provision("mn", "mn-cse", MN_CSE, "mn-1", self.mn_mode)
        for device in self.devices.values():
            self.provision(device.stem, "adn-ae", device.identity, device.stem, device.mode)

    def provision(self, store, kind, identity, name, mode, *more, pki=None, in_cse=IN_CSE, crl=True):
        """Puts an identity with the credentials of `name` into a (stopped) store."""
        pki = pki or self.pki
        if mode == "cert":
            credentials = ["--certificate", pki.file(name, "e2e.pem"), "--private-key", pki.file(name, "e2e.key"),
                           "--trust-anchors", pki.e2e_ca, *(["--crl", pki.folder / "e2e" / "crl.pem"] if crl else [])]
        else:
            credentials = ["--psk-file", pki.file(name, "e2e.psk")]
        run([self.secenv_program, "provision", "--store", self.store(store), "--profile",
             "authority" if kind == "in-cse" else "member", "--kind", kind, "--id", identity, "--in-cse", in_cse,
             "--mode", mode, *credentials, *more])

    # -- processes ------------------------------------------------------------------------------------------

    def start(self, name, arguments, **options):
        process = self.processes.start(name, arguments, **options)
        self.running[name] = process
        return process

    def start_secenv(self, name, *arguments, **options):
        """The service secenv-<name>: authority or mn."""
        process = self.start(f"secenv-{name}", [self.secenv_program, "run", "--store", self.store(name),
                                                "--owner-socket", self.socket(name),
                                                "--audit-socket", self.socket(f"{name}-audit"), *arguments], **options)
        wait_until(lambda: not process.running() or "secenv: ready" in process.text(), 10, f"secenv-{name} is ready")
        if not process.running():
            raise Failure(f"secenv-{name} ended at once:\n{process.text()[-2000:]}")
        return process

    def start_authority(self, **options):
        return self.start_secenv("authority", "--operator-socket", self.socket("operator"), "--same-user", **options)

    def start_broker(self):
        self.broker.start()
        self.running["broker"] = self.broker.process

    def start_in_cse(self):
        return self.start("in-cse", [self.build / "bin" / "in-cse", "run", "--config", self.configuration("in-cse")])

    def start_device(self, stem, **options):
        device = self.devices[stem]
        device.process = self.start(stem, [self.build / "bin" / "adn-ae", "run", "--config",
                                           self.configuration(stem)], **options)
        return device.process

    def start_all(self, groups, *stems):
        """Enrols, makes groups (name to function), starts everything (of the devices only those named, if any
        are), and waits until commands would be run."""
        self.start_authority()
        self.add_members()
        self.create_groups(groups)
        if not self.embedded_mn:
            self.start_secenv("mn")
        self.start_broker()
        self.start_in_cse()
        for stem in stems or self.devices:
            self.start_device(stem)
        self.wait_ready(*stems)

    def stop(self):
        self.processes.stop()
        shutil.rmtree(self.sockets, ignore_errors=True)

    # -- what the operator does -----------------------------------------------------------------------------

    def operator(self, *arguments, check=True, seconds=150):
        """An operator's command with --json; the finished process."""
        return run([self.build / "bin" / "in-cse", *arguments, "--config", self.configuration("in-cse"), "--json"],
                   check=check, seconds=seconds)

    def add_members(self, *stems):
        """Enrols the MN-CSE and all devices, or only the named ones."""
        rows = ["name,kind,mode,psk_file,site,functions"]
        if not stems:
            key = self.pki.file("mn-1", "e2e.psk") if self.mn_mode == "psk" else ""
            rows.append(f"{MN_CSE},mn-cse,{self.mn_mode},{key},,")
        for stem in stems or self.devices:
            device = self.devices[stem]
            key = self.pki.file(stem, "e2e.psk") if device.mode == "psk" else ""
            rows.append(f"{device.identity},adn-ae,{device.mode},{key},{MN_CSE},{device.function}")
        roster = self.folder / "members.csv"
        roster.write_text("\n".join(rows) + "\n")
        self.operator("member", "import", roster)

    def create_groups(self, groups):
        """`groups`: name to function."""
        for name, function in groups.items():
            self.operator("group", "create", name, "--function", function, "--site", MN_CSE)

    def revocations(self):
        """What `in-cse revocation show` tells."""
        return json.loads(self.operator("revocation", "show").stdout)

    def send(self, group, payload, *options, check=True):
        """Sends a command and waits for its report: outcome by stem. It ends when all have answered, by default long
        before its time."""
        if "--wait" not in options:
            options = (*options, "--wait", "40s")
        result = self.operator("send", group, payload, *options, check=check)
        if not result.stdout:
            return {}  # not sent at all, and `check` is not set
        return {row["name"].rsplit("/", 1)[1]: row["outcome"] for row in json.loads(result.stdout)["members"]}

    # -- questions ------------------------------------------------------------------------------------------

    def audit(self, name):
        """Counters and states of a secure environment: "authority", "mn" or a stem."""
        result = run([self.secenv_program, "audit", self.socket(f"{name}-audit")], check=False)
        return json.loads(result.stdout) if result.returncode == 0 else {"counters": {}, "identities": []}

    def counter(self, name, counter):
        return self.audit(name)["counters"].get(counter, 0)

    def groups_of(self, name):
        """The state of each group that the (only) identity of a secure environment knows, by name."""
        return {group["group"]: group for identity in self.audit(name)["identities"]
                for group in identity["groups"]}

    def associated(self, name):
        identities = self.audit(name)["identities"]
        return bool(identities) and all(identity["associated"] for identity in identities)

    def synchronised(self, stem):
        groups = self.groups_of(stem)
        return bool(groups) and all(group["synchronised"] for group in groups.values())

    def wait_ready(self, *stems, seconds=40):
        """Waits until the devices would act on a command."""
        for stem in stems or self.devices:
            wait_until(lambda stem=stem: self.synchronised(stem), seconds, f"{stem} is synchronised", every=0.2)

    def wait_relay(self, *groups, name="mn", seconds=40):
        """Waits until the MN-CSE holds the key of each of these groups."""
        def holds():
            known = self.groups_of(name)
            return all(group in known and known[group]["epoch"] > 0 for group in groups)
        wait_until(holds, seconds, f"{name} holds the keys of {', '.join(groups)}", every=0.2)

    def in_no_group(self, stem):
        """It runs, and knows of no group (any more)."""
        return bool(self.audit(stem)["identities"]) and not self.groups_of(stem)

    def newest_epoch(self, group):
        """The authority's. Members climb to it in their own time."""
        return self.groups_of("authority")[group]["epoch"]

    def wait_climbed(self, group, *stems, seconds=20):
        """Waits until these have the newest epoch of the group; returns it."""
        newest = self.newest_epoch(group)
        for stem in stems:
            wait_until(lambda stem=stem: self.groups_of(stem).get(group, {}).get("epoch", 0) >= newest, seconds,
                       f"{stem} has epoch {newest} of {group}")
        return newest

    def done(self, stem, payload):
        """How often the device's program ran for this payload."""
        file = self.done_file(stem)
        lines = whole_lines(file) if file.exists() else []
        return sum(1 for line in lines if line.split(" ", 2)[2] == payload)

    def say(self, stem, group, text, seconds=120):
        """Lets a device send a member message; its answer, "ok" or "error …", or "" where there is none in time."""
        with socket.socket(socket.AF_UNIX) as local:
            local.settimeout(seconds)
            local.connect(str(self.socket(f"{stem}-say")))
            local.sendall(f"{group} {text}\n".encode())
            try:
                return local.recv(4096).decode().strip()
            except TimeoutError:
                return ""

    def heard(self, stem):
        """The member messages that a device was given."""
        events = [json.loads(line) for line in whole_lines(self.running[stem].out)]
        return [event for event in events if event["event"] == "message"]

    def say_until_heard(self, stem, group, text, listeners, seconds=15):
        """Says it again until all hear it: who has just joined may not listen yet."""
        def heard():
            answer = self.say(stem, group, text)
            if answer != "ok":
                raise Failure(f"{stem} could not say it: {answer}")
            time.sleep(0.3)
            return all(any(message["text"] == text for message in self.heard(listener)) for listener in listeners)
        wait_until(heard, seconds, f"{', '.join(listeners)} hear what {stem} says")

    # -- files ----------------------------------------------------------------------------------------------

    def configuration(self, name):
        return self.folder / f"{name}.conf"

    def _broker_port(self, hop, _name):
        return self.ports.get(hop) or (self.broker.certificate_port if hop == "cert" else self.broker.psk_port)

    def _registrar(self, _device):
        return MN_CSE

    def _broker_section(self, hop, name):
        port = self._broker_port(hop, name)
        lines = [f'  uri = "mqtts://localhost:{port}"']
        if hop == "cert":
            lines += [f'  ca = "{self.pki.hop_ca}"', f'  certificate = "{self.pki.file(name, "hop.pem")}"',
                      f'  private-key = "{self.pki.file(name, "hop.key")}"']
        else:
            lines += [f'  psk-identity = "{name}"', f'  psk-file = "{self.pki.file(name, "hop.psk")}"']
        return "\n".join(["broker {", *lines, "}"])

    def _write_configurations(self):
        self.configuration("in-cse").write_text("\n".join([
            f'identity = "{IN_CSE}"', self._broker_section("cert", "in-cse"),
            "secenv {", f'  socket = "{self.socket("authority")}"', "}",
            f'operator-socket = "{self.socket("operator")}"', ""]))
        for device in self.devices.values():
            self.write_device_configuration(device)

    def done_file(self, stem):
        """One line for each command that the device's program ran: GROUP ID PAYLOAD."""
        return self.folder / f"{stem}.done"

    def write_device_configuration(self, device):
        program = self.folder / f"{device.stem}.program"
        program.write_text("#!/bin/sh\n"
                           f'printf "%s %s %s\\n" "$GROUPSEAL_GROUP" "$GROUPSEAL_COMMAND_ID" "$(cat)" '
                           f'>>"{self.done_file(device.stem)}"\n')
        program.chmod(0o700)
        self.configuration(device.stem).write_text("\n".join([
            f'identity = "{device.identity}"', f'registrar = "{self._registrar(device)}"',
            self._broker_section(device.hop, device.stem),
            "secenv {", f'  store = "{self.store(device.stem)}"', f'  program = "{self.secenv_program}"',
            f'  audit-socket = "{self.socket(device.stem + "-audit")}"', "}",
            f'command-program = "{program}"', f'message-socket = "{self.socket(device.stem + "-say")}"', ""]))
