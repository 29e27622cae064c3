# SPDX-License-Identifier: GPL-3.0-or-later
"""The MN-CSE's secure environment is killed under the broker: all but commands goes on, until it is back."""

import json
import ssl
import threading
import time

import paho.mqtt.client as mqtt

from harness.processes import wait_until
from harness.site import Device

GROUPS = {"doors": "door"}


class Client:
    """Any other client of the broker, on a topic of its own."""

    def __init__(self, site, name):
        self.heard = []
        self.lost = 0
        self.client = mqtt.Client(client_id=name)
        site.pki.make("device", name)
        self.client.tls_set(str(site.pki.hop_ca), str(site.pki.file(name, "hop.pem")),
                            str(site.pki.file(name, "hop.key")), cert_reqs=ssl.CERT_REQUIRED)
        self.client.on_message = lambda _client, _data, message: self.heard.append(message.payload)
        self.listens = threading.Event()
        self.client.on_connect = lambda client, *_: client.subscribe("weather", 1)
        self.client.on_subscribe = lambda *_: self.listens.set()
        self.client.on_disconnect = self._disconnected
        self.client.connect("localhost", site.broker.certificate_port)
        self.client.loop_start()

    def _disconnected(self, *_):
        self.lost += 1

    def round_trip(self, text):
        """Seconds that it took."""
        self.client.publish("weather", text, 1)
        start = time.monotonic()
        wait_until(lambda: text.encode() in self.heard, 5, "another client's message arrives", every=0.005)
        return time.monotonic() - start


def test_secenv_killed_under_the_broker(make_site):
    site = make_site([Device("Sdoor1", "door"), Device("Sdoor2", "door", "psk")])
    site.start_all(GROUPS, "Sdoor1")
    other = Client(site, "Sother")
    assert other.listens.wait(60)
    other.round_trip("before")

    site.running["secenv-mn"].kill()

    # The broker lives, other clients do not notice, and the relay between devices and the IN-CSE goes on: a
    # device that starts only now authenticates through it.
    assert min(other.round_trip(f"without secenv {number}") for number in range(5)) < 2  # it does not wait for it
    done = site.counter("authority", "handshakes_done")
    site.start_device("Sdoor2")
    wait_until(lambda: site.counter("authority", "handshakes_done") > done, 20, "Sdoor2 is authenticated")
    wait_until(lambda: site.associated("Sdoor2"), 20, "Sdoor2 is associated")

    # A command is answered, clearly: nobody has it, and why.
    result = site.operator("send", "doors", "close", "--valid", "5s", "--wait", "20s", check=False)
    report = json.loads(result.stdout)
    assert result.returncode != 0
    assert all(row["outcome"] != "done" for row in report["members"])
    assert site.done("Sdoor1", "close") == 0
    assert "//sp.example/mn-1" in report["refused"], report

    # It is back: all goes on by itself.
    site.start_secenv("mn")
    site.wait_ready("Sdoor2")
    wait_until(lambda: site.send("doors", "open", check=False) == {"Sdoor1": "done", "Sdoor2": "done"}, 30,
               "commands work again")
    assert site.running["broker"].running() and other.lost == 0
    other.client.loop_stop()
    other.client.disconnect()
