# SPDX-License-Identifier: GPL-3.0-or-later
"""A secure environment that does what a test tells it: the owner's socket, and no key. For what a real one does
only when it is broken, and for the plugin's behaviour apart from it."""

import importlib.util
import os
import queue
import select
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from harness.processes import Failure

PROTO = Path(__file__).resolve().parents[2] / "proto"


def messages(folder):
    """The Python classes of proto/secenv.proto, generated into the folder."""
    subprocess.run(["protoc", f"--proto_path={PROTO}", f"--python_out={folder}", "secenv.proto"], check=True)
    spec = importlib.util.spec_from_file_location("secenv_pb2", Path(folder) / "secenv_pb2.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["secenv_pb2"] = module
    spec.loader.exec_module(module)
    return module


class FakeSecenv:
    """Greets, goes online, answers each object with `answer`; keeps every request in `requests`."""

    def __init__(self, folder, path, identity="//sp.example/mn-1", authority="//sp.example/in-cse"):
        self.pb = messages(folder)
        self.path = str(path)
        self.identity = identity
        self.authority = authority
        self.answer = b"answer"
        self.deaf = False  # takes requests and answers nothing
        self.delay = 0  # seconds before it greets
        self.groups = {}  # told when it goes online
        self.requests = queue.Queue()
        self.connected = threading.Event()
        self.connection = None
        self.listener = None
        self.thread = None
        self.ending = False

    def start(self):
        self.ending = False
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def stop(self):
        """As if it had been killed."""
        self.ending = True
        if self.thread:
            self.thread.join()
            self.thread = None
        for one in (self.connection, self.listener):
            if one:
                one.close()
        self.connection = self.listener = None
        self.connected.clear()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def _serve(self):
        while not self.ending:
            watched = [self.listener] + ([self.connection] if self.connection else [])
            for one in select.select(watched, [], [], 0.02)[0]:
                if one is self.listener:
                    self.connection = self.listener.accept()[0]
                else:
                    self._read()

    def _read(self):
        try:
            packet = self.connection.recv(65536)
        except ConnectionError:
            packet = b""
        if not packet:
            self._lost()
            return
        request = self.pb.ToSecenv.FromString(packet)
        self.requests.put(request)
        if not self.deaf:
            try:
                self._reply(request)
            except ConnectionError:  # it ended without waiting for the answer
                self._lost()

    def _lost(self):
        self.connection.close()
        self.connection = None
        self.connected.clear()

    def _reply(self, request):
        message = self.pb.FromSecenv()
        message.reply.id = request.id
        kind = request.WhichOneof("request")
        if kind == "hello":
            time.sleep(self.delay)
            message.reply.welcome.profile = "member"
            message.reply.welcome.identities.append(self.identity)
            message.reply.welcome.authority = self.authority
        elif kind == "received":
            message.reply.answer.object = self.answer
        self.connection.send(message.SerializeToString())
        if kind == "online":
            for group, members in self.groups.items():
                self.roster(group, members)
            self.connected.set()

    def event(self, **content):
        """event(publish=…): sends an Event with this content, to an owner that has gone online."""
        if threading.current_thread() is not self.thread and not self.connected.wait(60):
            raise Failure("nobody is online at this secure environment")
        message = self.pb.FromSecenv()
        message.event.identity = self.identity
        for name, value in content.items():
            getattr(message.event, name).CopyFrom(value)
        self.connection.send(message.SerializeToString())

    def roster(self, group, members, deleted=False):
        self.event(roster=self.pb.RosterEvent(group=group, site="mn-1", members=members, pages=1, deleted=deleted))

    def publish(self, kind, payload, group="doors", retained=False):
        self.event(publish=self.pb.Publish(site="mn-1", group=group, kind=kind, retained=retained, payload=payload))

    def requested(self, kind, seconds=60):
        """The next request of this kind; others before it are passed over."""
        while True:
            request = self.requests.get(timeout=seconds)
            if request.WhichOneof("request") == kind:
                return getattr(request, kind)
