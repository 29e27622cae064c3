# SPDX-License-Identifier: GPL-3.0-or-later
"""A broker that had a life before the plugin came: other access plugins and files, all kinds of listeners and clients."""

import json
import os
import queue
import ssl
from pathlib import Path

import paho.mqtt.client as mqtt

from harness.broker import MOSQUITTO, accepts, broker_environment
from harness.processes import Failure, free_ports, run, wait_until

PASSWORD = "correct horse"
ADMINISTRATOR = "admin"


def dynamic_security():
    """Mosquitto's own access plugin, of the series under test."""
    folders = [Path("/usr/lib")]
    if "GROUPSEAL_BROKER" in os.environ:
        folders = [Path(MOSQUITTO).parent / "root" / "usr" / "lib"]
    for folder in folders:
        for path in sorted(folder.glob("*/mosquitto_dynamic_security.so")):
            return path
    raise Failure("Mosquitto's Dynamic Security plugin is not installed")


class Existing:
    """Configuration and process. `plugins` is a list of blocks of lines, in their order."""

    def __init__(self, processes, folder, pki, build):
        self.processes = processes
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pki = pki
        self.build = build
        self.each_listener = False  # per_listener_settings
        self.plugins = []
        self.access = []  # password_file, acl_file, allow_anonymous
        self.persistent = False
        self.log = ["log_type all"]
        self.kinds = ["password"]  # of listeners
        self.ports = {}
        self.users = []
        self.process = None

    def ours(self, options):
        return [f"plugin {self.build}/lib/mn_cse.so", *(f"plugin_opt_{name} {value}" for name, value in options.items())]

    def passwords(self, *users):
        """A password_file with these users; its line."""
        path = self.folder / "passwords"
        path.write_text("".join(f"{user}:{PASSWORD}\n" for user in users))
        run(["mosquitto_passwd", "-U", path])
        return [f"password_file {path}", "allow_anonymous false"]

    def rules(self, text):
        """An acl_file; its line."""
        path = self.folder / "acl"
        path.write_text(text)
        path.chmod(0o600)
        return [f"acl_file {path}"]

    def dynsec(self):
        """A Dynamic Security plugin with an administrator; its block."""
        path = self.folder / "dynsec.json"
        run(["mosquitto_ctrl", "dynsec", "init", path, ADMINISTRATOR, PASSWORD])
        return [f"plugin {dynamic_security()}", f"plugin_opt_config_file {path}"]

    def administer(self, *commands):
        """Commands to the Dynamic Security plugin, as its administrator."""
        client = Client(self, ADMINISTRATOR)
        try:
            assert client.subscribe("$CONTROL/dynamic-security/v1/response")
            client.publish("$CONTROL/dynamic-security/v1", json.dumps({"commands": list(commands)}))
            answers = json.loads(client.next("$CONTROL/dynamic-security/v1/response").payload)["responses"]
            assert [answer for answer in answers if "error" in answer] == []
        finally:
            client.stop()

    def socket(self):
        return self.folder / "mqtt.sock"

    def listener(self, kind):
        certificates = [f"cafile {self.pki.hop_ca}", f"certfile {self.pki.file('mn-1', 'broker.pem')}",
                        f"keyfile {self.pki.file('mn-1', 'broker.key')}"]
        if kind == "unix":
            return [f"listener 0 {self.socket()}"]
        self.ports[kind] = self.ports.get(kind) or free_ports(1)[0]
        first = f"listener {self.ports[kind]} 127.0.0.1"
        return {
            "password": [first],
            "websockets": [first, "protocol websockets"],
            "tls": [first, *certificates],
            "certificate": [first, *certificates, "require_certificate true", "use_identity_as_username true"],
            "psk": [first, "psk_hint groupseal", "use_identity_as_username true"],
        }[kind]

    def write(self):
        lines = [f"per_listener_settings {str(self.each_listener).lower()}", *self.log, "log_dest stderr",
                 "set_tcp_nodelay true", "sys_interval 0"]
        if os.getuid() == 0:
            lines.append("user root")
        if self.persistent:
            lines += ["persistence true", f"persistence_location {self.folder}/"]
        settings = [line for block in self.plugins for line in block] + self.access
        if "psk" in self.kinds:
            settings.append(f"psk_file {self.pki.psk_file}")
        if not self.each_listener:
            lines += settings
        for number, kind in enumerate(self.kinds):
            lines += self.listener(kind)
            if self.each_listener and number == 0:
                lines += settings
            elif self.each_listener:
                lines += self.access
        path = self.folder / "mosquitto.conf"
        path.write_text("\n".join(lines) + "\n")
        return path

    def start(self):
        self.process = self.processes.start("existing", [MOSQUITTO, "-c", self.write()], env=broker_environment())
        wait_until(lambda: not self.process.running() or all(accepts(port) for port in self.ports.values()), 20,
                   "the broker listens")
        if not self.process.running():
            raise Failure(f"the broker ended at once:\n{self.process.text()[-2000:]}")
        return self

    def stop(self):
        self.process.popen.terminate()
        assert self.process.popen.wait(40) == 0


class Client:
    """Of any protocol version, on any kind of listener that Python's TLS can speak to."""

    def __init__(self, existing, name, kind="password", version=mqtt.MQTTv311, client_id=None, clean=True,
                 anonymous=False):
        self.name = name
        self.version = version
        self.received = queue.Queue()
        self.granted = queue.Queue()
        self.ends = []
        session = {} if version == mqtt.MQTTv5 else {"clean_session": clean}
        self.client = mqtt.Client(client_id=client_id or name, protocol=version,
                                  transport="websockets" if kind == "websockets" else "tcp", **session)
        if kind == "certificate":
            self.client.tls_set(ca_certs=str(existing.pki.hop_ca), certfile=str(existing.pki.file(name, "hop.pem")),
                                keyfile=str(existing.pki.file(name, "hop.key")), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        else:
            if kind == "tls":
                self.client.tls_set(ca_certs=str(existing.pki.hop_ca), tls_version=ssl.PROTOCOL_TLS_CLIENT)
            if not anonymous:
                self.client.username_pw_set(name, PASSWORD)
        self.client.on_message = lambda _client, _data, message: self.received.put(message)
        self.client.on_subscribe = self._subscribed
        self.client.on_disconnect = lambda *arguments: self.ends.append(arguments)
        self.client.connect("localhost", existing.ports[kind])
        self.client.loop_start()
        wait_until(self.client.is_connected, 10, f"{name} connects")

    def _subscribed(self, _client, _data, _mid, granted, _properties=None):
        first = granted[0]
        self.granted.put(first if isinstance(first, int) else first.value)

    def subscribe(self, topic):
        """True where the broker grants it. (MQTT 3.1 has no word for a refusal: there it always is.)"""
        self.client.subscribe(topic, 1)
        return self.granted.get(timeout=40) < 128

    def publish(self, topic, payload, retain=False):
        self.client.publish(topic, payload, 1, retain).wait_for_publish(40)

    def next(self, topic, seconds=40):
        message = self.received.get(timeout=seconds)
        assert message.topic == topic
        return message

    def silent(self, seconds=0.5):
        try:
            message = self.received.get(timeout=seconds)
        except queue.Empty:
            return True
        raise AssertionError(f"{self.name} got {message.topic}")

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()
