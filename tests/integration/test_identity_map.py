# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose connection it is: corporate PKIs on the hop (RSA, P-384, intermediate CAs), names from subjects and
alternative names, and user names that clients choose, compared with their certificates."""

import os
import queue
import shutil
import ssl
import tempfile
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from fake_secenv import FakeSecenv
from harness.broker import MOSQUITTO, accepts
from harness.processes import free_ports, run, wait_until

DOOR = "/oneM2M/req/+/Sdoor1/#"
IDENTITY = "//sp.example/%u"


class Corporation:
    """An RSA root, an intermediate CA on P-384, and leaves of either kind, with names that a company would give."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir()
        self.key("root", "rsa")
        self.openssl("req", "-x509", "-new", "-key", "root.key", "-subj", "/O=Example Corp/CN=Root", "-days", "30",
                     "-out", "root.pem")
        self.key("sub", "p384")
        self.sign("sub", "/O=Example Corp/CN=Issuing CA 7", "root", ["basicConstraints=critical,CA:true"])
        self.leaf("broker", "/CN=broker", ["DNS:localhost"], "rsa")

    def openssl(self, *arguments):
        run(["openssl", *arguments], cwd=self.folder)

    def key(self, name, kind):
        algorithm = ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"] if kind == "rsa" else \
                    ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"]
        self.openssl("genpkey", "-algorithm", *algorithm, "-out", f"{name}.key")

    def sign(self, name, subject, issuer, extensions):
        (self.folder / f"{name}.ext").write_text("\n".join(extensions) + "\n")
        self.openssl("req", "-new", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key",
                     "-CAcreateserial", "-days", "30", "-extfile", f"{name}.ext", "-out", f"{name}.pem")

    def leaf(self, name, subject, alternative, kind="rsa"):
        """With its chain in <name>.chain."""
        self.key(name, kind)
        self.sign(name, subject, "sub", ["basicConstraints=CA:false"] +
                  ([f"subjectAltName={','.join(alternative)}"] if alternative else []))
        (self.folder / f"{name}.chain").write_text((self.folder / f"{name}.pem").read_text() +
                                                   (self.folder / "sub.pem").read_text())


@pytest.fixture
def sockets():
    folder = Path(tempfile.mkdtemp(prefix="groupseal-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def secenv(tmp_path, sockets):
    fake = FakeSecenv(tmp_path, sockets / "owner")
    fake.start()
    yield fake
    fake.stop()


class Hop:
    def __init__(self, processes, folder, build, socket, corporation, listener, plugin):
        self.corporation = corporation
        self.port = free_ports(1)[0]
        lines = ["per_listener_settings false", "allow_anonymous true", "log_dest stderr", "log_type all"]
        if os.getuid() == 0:
            lines.append("user root")
        lines += [f"plugin {build}/lib/mn_cse.so", "plugin_opt_cse_id //sp.example/mn-1",
                  "plugin_opt_in_cse //sp.example/in-cse", "plugin_opt_foreign allow",
                  f"plugin_opt_secenv_socket {socket}", *(f"plugin_opt_{line}" for line in plugin),
                  f"listener {self.port} 127.0.0.1", f"cafile {corporation.folder}/root.pem",
                  f"certfile {corporation.folder}/broker.chain", f"keyfile {corporation.folder}/broker.key",
                  "require_certificate true", *listener]
        file = folder / "mosquitto.conf"
        file.write_text("\n".join(lines) + "\n")
        self.process = processes.start("broker", [MOSQUITTO, "-c", file])
        wait_until(lambda: not self.process.running() or accepts(self.port), 10, "the broker listens")

    def may(self, leaf, topic=DOOR, user=None):
        """Whether the client with this certificate may subscribe."""
        granted = queue.Queue()
        client = mqtt.Client(client_id=leaf, protocol=mqtt.MQTTv311)
        client.tls_set(ca_certs=str(self.corporation.folder / "root.pem"),
                       certfile=str(self.corporation.folder / f"{leaf}.chain"),
                       keyfile=str(self.corporation.folder / f"{leaf}.key"), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        if user:
            client.username_pw_set(user)
        client.on_subscribe = lambda _client, _data, _mid, codes: granted.put(codes)
        client.connect("localhost", self.port)
        client.loop_start()
        wait_until(client.is_connected, 5, f"{leaf} connects")
        client.subscribe(topic, 1)
        answer = granted.get(timeout=60)[0]
        client.disconnect()
        client.loop_stop()
        return answer != 128


@pytest.fixture
def hop(processes, tmp_path, build, secenv):
    def make(leaves, listener=(), plugin=()):
        corporation = Corporation(tmp_path / "corporation")
        for leaf in leaves:
            corporation.leaf(*leaf)
        return Hop(processes, tmp_path, build, secenv.path, corporation, listener, plugin)
    return make


def test_chosen_name_is_compared_with_the_certificate(hop):
    """No identity option: a client says who it is, and its certificate must say the same."""
    made = hop([("door", "/O=Site/CN=Sdoor1", []), ("spy", "/O=Site/CN=Sspy1", [], "p384")],
               plugin=[f"identity {IDENTITY}"])
    assert made.may("door", user="Sdoor1")
    assert not made.may("spy", user="Sdoor1")
    assert "a client calls itself Sdoor1, and its certificate does not" in made.process.text()
    assert not made.may("door") and not made.may("door", user="Sspy1")
    assert made.may("spy", "/oneM2M/req/+/Sspy1/#", "Sspy1")
    assert made.may("spy", "sensors/1", "whoever")  # topics that are none of ours: as the operator says


def test_password_may_prove_it_all_the_same(hop):
    made = hop([("spy", "/CN=Sspy1", [])], plugin=[f"identity {IDENTITY}", "certificate_name password"])
    assert made.may("spy", user="Sdoor1")


def test_common_name(hop):
    made = hop([("door", "/O=Site/CN=Sdoor1", [], "p384"), ("two", "/CN=Sdoor1/CN=Sdoor2", [])],
               plugin=[f"identity {IDENTITY}", "certificate_name cn"])
    assert made.may("door") and made.may("door", user="Sspy1")
    assert not made.may("two")  # which would it be?


def test_alternative_names(hop):
    made = hop([("door", "/CN=Door on the left", ["URI:urn:dev:door1", "DNS:left.example"]),
                ("other", "/CN=Sdoor1", ["URI:urn:dev:door2"], "p384"),
                ("two", "/CN=x", ["URI:urn:dev:door1", "URI:urn:dev:door2"]), ("none", "/CN=Sdoor1", [])],
               plugin=["identity urn:dev:%u //sp.example/S%u", "certificate_name uri"])
    assert made.may("door", user="anything")
    assert not made.may("other") and made.may("other", "/oneM2M/req/+/Sdoor2/#")
    assert not made.may("two") and not made.may("none") and not made.may("none", user="urn:dev:door1")


def test_host_names_and_several_rules(hop):
    made = hop([("door", "/CN=x", ["DNS:door1.left.example"]), ("right", "/CN=x", ["DNS:door2.right.example"]),
                ("else", "/CN=x", ["DNS:door1.else.example"])],
               plugin=["identity %u.left.example //sp.example/S%u", "identity %u.right.example //sp.example/mn-1/C%u",
                       "certificate_name dns"])
    assert made.may("door") and made.may("right", "/oneM2M/req/+/Cdoor2/#")
    assert not made.may("right") and not made.may("else")


def test_whole_subject(hop):
    made = hop([("door", "/O=Site/CN=Sdoor1", []), ("foreign", "/O=Other/CN=Sdoor1", [])],
               listener=["use_subject_as_username true"], plugin=["identity CN=%u,O=Site //sp.example/%u"])
    assert made.may("door") and not made.may("foreign")
