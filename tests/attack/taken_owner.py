# SPDX-License-Identifier: GPL-3.0-or-later
"""
Code in a network process that was taken over: it runs as that process' user and has the socket to its secure
environment. Does one thing (argv[1]) and prints JSON of what came of it. Run by test_host.py.
"""

import ctypes
import json
import os
import select
import socket
import sys
import time

PTRACE_ATTACH = 16


def denied(action):
    """What the system says to it: "denied", or what it gave."""
    try:
        action()
    except PermissionError:
        return "denied"
    except OSError as error:
        return os.strerror(error.errno)
    return "given"


def ptrace(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_ATTACH, pid, None, None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def vm_read(pid):
    libc = ctypes.CDLL(None, use_errno=True)

    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

    here = ctypes.create_string_buffer(64)
    local = Vector(ctypes.cast(here, ctypes.c_void_p), 64)
    remote = Vector(0x400000, 64)
    if libc.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def reach(store, pid):
    """Everything by which a process of another user could get at keys."""
    files = {"list": lambda: os.listdir(store),
             "store": lambda: open(f"{store}/store.db", "rb").close(),
             "root key": lambda: open(f"{store}/root.key", "rb").close(),
             "write": lambda: open(f"{store}/store.db", "r+b").close(),
             "add": lambda: open(f"{store}/new", "wb").close(),
             "memory": lambda: open(f"/proc/{pid}/mem", "rb").close(),
             "maps": lambda: open(f"/proc/{pid}/maps").read(1),
             "environment": lambda: open(f"/proc/{pid}/environ", "rb").read(1),
             "files": lambda: os.listdir(f"/proc/{pid}/fd"),
             "ptrace": lambda: ptrace(pid), "vm": lambda: vm_read(pid),
             "signal": lambda: os.kill(pid, 9)}
    return {name: denied(action) for name, action in files.items()}


class Socket:
    def __init__(self, path, pb):
        self.pb = pb
        self.number = 0
        self.received = []  # packets, as they are
        self.events = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(60)
        self.socket.connect(path)

    def ask(self, **content):
        """The reply, or None where the connection was ended."""
        self.number += 1
        request = self.pb.ToSecenv(id=self.number, **content)
        try:
            self.socket.send(request.SerializeToString())
            while True:
                message = self._packet()
                if message is None or message.WhichOneof("content") == "reply":
                    return message and message.reply
        except ConnectionError:
            return None

    def _packet(self):
        packet = self.socket.recv(65536)
        if not packet:
            return None
        self.received.append(packet)
        message = self.pb.FromSecenv.FromString(packet)
        if message.WhichOneof("content") == "event":
            self.events.append(message.event)
        return message

    def listen(self, seconds):
        while select.select([self.socket], [], [], seconds)[0]:
            if self._packet() is None:
                return


def requests_of_others(pb, profile, group):
    """What is not an owner's to ask: the operator's requests, and those of the other profile."""
    member = pb.NewMember(name="//sp.example/Sintruder", kind=pb.MEMBER_ADN_AE, mode=pb.MODE_PSK, psk=b"x" * 32,
                          site="//sp.example/mn-1", functions=["door"])
    requests = {
        "member_add": pb.MemberAdd(members=[member]), "member_evict": pb.MemberEvict(names=["//sp.example/Sdoor1"]),
        "member_reauthenticate": pb.MemberReauthenticate(name="//sp.example/Sdoor1"),
        "member_move": pb.MemberMove(name="//sp.example/Sdoor1", site="//sp.example/mn-1"),
        "member_confirm": pb.MemberConfirm(all=True), "group_release": pb.GroupRelease(name="doors"),
        "group_rotate": pb.GroupRotate(name="doors"),
        "group_delete": pb.GroupDelete(name="doors"),
        "settings": pb.Settings(leaf_age_s=2**32 - 1), "clock": pb.Clock(accept=True),
        "revocation_set": pb.RevocationSet(lists=b"0"),
        "revocation_show": pb.RevocationShow(),
        "member_list": pb.MemberList(),
        "group_create": pb.GroupCreate(name="mine", function="door", sites=["//sp.example/mn-1"]),
        "group_list": pb.GroupList(), "group_show": pb.GroupShow(name=group),
        "order_send": pb.OrderSend(group=group, body=b"open"), "order_show": pb.OrderShow(command_id=b"x" * 16),
        "order_list": pb.OrderList()}
    if profile == "authority":
        requests |= {"speak": pb.Speak(identity="//sp.example/in-cse", group=group, body=b"open"),
                     "finished": pb.Finished(identity="//sp.example/in-cse", group=group, command_id=b"x" * 16),
                     "heard": pb.Heard(identity="//sp.example/in-cse", group=group, site="mn-1",
                                       kind=pb.TOPIC_COMMAND, payload=b"x"),
                     "authenticate": pb.Authenticate(identity="//sp.example/in-cse")}
    return requests


def ask_for_more(path, pb, profile, group):
    """Each on a connection of its own: ended, or what was answered."""
    results = {}
    for name, content in requests_of_others(pb, profile, group).items():
        one = Socket(path, pb)
        assert one.ask(hello=pb.Hello(version=1)) is not None
        reply = one.ask(**{name: content})
        results[name] = "ended" if reply is None else f"answered {reply.code}"
        one.socket.close()
    return results


def knock(path, pb):
    try:
        return "let in" if Socket(path, pb).ask(hello=pb.Hello(version=1)) is not None else "ended"
    except OSError as error:
        return os.strerror(error.errno)


def use(path, pb, group):
    """All that an owner may ask of an MN-CSE's: every packet that it gets is kept."""
    me = "//sp.example/mn-1"
    one = Socket(path, pb)
    one.ask(hello=pb.Hello(version=1))
    one.ask(status=pb.Status())
    one.ask(online=pb.Online(identity=me, online=True))
    codes = {}
    for name, content in {
            "own message": {"speak": pb.Speak(identity=me, group=group, body=b"open")},
            "message of a device": {"speak": pb.Speak(identity="//sp.example/Sdoor1", group=group, body=b"open")},
            "message of the authority": {"speak": pb.Speak(identity="//sp.example/in-cse", group=group, body=b"x")},
            "message of another group": {"speak": pb.Speak(identity=me, group="windows", body=b"open")},
            "result": {"finished": pb.Finished(identity=me, group=group, command_id=b"x" * 16, done=True)},
            "object": {"received": pb.Received(identity=me, **{"from": "//sp.example/in-cse"}, hop="x", object=b"x")},
            "answer": {"answered": pb.Answered(identity=me, token=1, object=b"x")},
            "too long": {"speak": pb.Speak(identity=me, group=group, body=b"x" * 20000)}}.items():
        reply = one.ask(**content)
        codes[name] = None if reply is None else reply.code
        if name == "own message" and reply is not None:
            spoken = reply.spoken.payload
            # Its own seal, said where only orders are taken.
            for kind, sender in ((pb.TOPIC_COMMAND, ""), (pb.TOPIC_ACK, "//sp.example/Sdoor1"),
                                 (pb.TOPIC_MESSAGE, "//sp.example/Sdoor1")):
                reply = one.ask(heard=pb.Heard(identity=me, site="mn-1", group=group, kind=kind, sender=sender,
                                               payload=spoken))
                codes[f"heard on {kind}"] = reply.code
    one.listen(3)
    commands = [event.publish.payload.hex() for event in one.events
                if event.WhichOneof("content") == "publish" and event.publish.kind == pb.TOPIC_COMMAND]
    return {"codes": codes, "commands": commands, "spoken": spoken.hex(),
            "packets": [packet.hex() for packet in one.received]}


def flood(path, pb, group, seconds):
    """As many messages and as many "online" as it can: how many of each were taken, in how long."""
    me = "//sp.example/mn-1"
    one = Socket(path, pb)
    one.ask(hello=pb.Hello(version=1))
    one.ask(online=pb.Online(identity=me, online=True))
    codes = {}
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        reply = one.ask(speak=pb.Speak(identity=me, group=group, body=b"open"))
        codes[reply.code] = codes.get(reply.code, 0) + 1
        one.ask(online=pb.Online(identity=me, online=False))
        one.ask(online=pb.Online(identity=me, online=True))
    return {"codes": codes, "seconds": time.monotonic() - begun}


def hand_in(path, pb, seconds):
    """As many objects as it can, to the authority."""
    one = Socket(path, pb)
    one.ask(hello=pb.Hello(version=1))
    one.ask(online=pb.Online(identity="//sp.example/in-cse", online=True))
    codes = {}
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        reply = one.ask(received=pb.Received(identity="//sp.example/in-cse", **{"from": "//sp.example/Sdoor1"},
                                             hop="//sp.example/mn-1", object=b"x"))
        codes[reply.code] = codes.get(reply.code, 0) + 1
    return {"codes": codes, "seconds": time.monotonic() - begun}


def main():
    what, folder, *arguments = sys.argv[1:]
    sys.path.insert(0, folder)
    import secenv_pb2 as pb  # noqa: PLC0415
    if what == "reach":
        result = reach(arguments[0], int(arguments[1]))
    elif what == "knock":
        result = knock(arguments[0], pb)
    elif what == "more":
        result = ask_for_more(arguments[0], pb, arguments[1], arguments[2])
    elif what == "flood":
        result = flood(arguments[0], pb, arguments[1], float(arguments[2]))
    elif what == "hand in":
        result = hand_in(arguments[0], pb, float(arguments[1]))
    else:
        result = use(arguments[0], pb, arguments[1])
    print(json.dumps(result))


main()
