# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's commands of in-cse, on a real secure environment of an authority: tables, JSON, exit codes."""

import json
import tempfile
import time
from pathlib import Path

import pytest
from fake_secenv import FakeSecenv
from harness.processes import clean_environment, run, wait_until
from harness.site import IN_CSE, Device

DONE, FAILED, USAGE, MEMBERS, NO_ANSWER, UNREACHABLE, UNCERTAIN = range(7)


@pytest.fixture
def operator(make_site, build):
    """Runs in-cse on a site of which only the authority runs; without a socket in the environment."""
    site = make_site([])
    site.start_authority()

    def command(*arguments, socket=site.socket("operator"), code=DONE, **options):
        where = ["--operator-socket", socket] if socket else []
        result = run([build / "bin" / "in-cse", *arguments, *where], check=False, **options)
        assert result.returncode == code, result.stdout + result.stderr
        return result

    command.site = site
    return command


def test_members(operator, tmp_path):
    assert operator("member", "list").stdout == "no members\n"
    assert json.loads(operator("member", "list", "--json").stdout) == []
    (tmp_path / "psk").write_text("ab" * 32 + "\n")
    added = operator("member", "add", "mn-1", "--kind", "mn-cse", "--mode", "cert")
    assert added.stdout == "1 member added\n"
    operator("member", "add", "//sp.example/Sdoor1", "--kind", "adn-ae", "--mode", "psk", "--psk-file", tmp_path / "psk",
             "--site", "mn-1", "--function", "door", "--function", "exit")
    rows = {row["name"]: row for row in json.loads(operator("member", "list", "--json").stdout)}
    assert set(rows) == {"//sp.example/mn-1", "//sp.example/Sdoor1"}
    door = rows["//sp.example/Sdoor1"]
    assert (door["kind"], door["mode"], door["site"], door["state"]) == ("adn-ae", "psk", "//sp.example/mn-1", "added")
    assert sorted(door["functions"]) == ["door", "exit"] and door["associated"] == ""
    table = operator("member", "list").stdout.splitlines()
    assert table[0].split() == ["NAME", "KIND", "MODE", "SITE", "FUNCTIONS", "STATE", "GROUPS",
                                "AUTHENTICATED", "LEAF", "AGE"]
    assert len(table) == 3 and table[1].index("adn-ae") == table[2].index("mn-cse") == table[0].index("KIND")
    # Twice is an error, and says which.
    again = operator("member", "add", "Sdoor1", "--kind", "adn-ae", "--mode", "cert", "--site", "mn-1", code=FAILED)
    assert "Sdoor1" in again.stderr
    assert "ab" * 8 not in added.stdout + again.stderr


def test_evict_and_reauthenticate(operator):
    operator("member", "add", "mn-1", "--kind", "mn-cse", "--mode", "cert")
    operator("member", "add", "Sdoor1", "--kind", "adn-ae", "--mode", "cert", "--site", "mn-1", "--function", "door")
    assert "evicted" in operator("member", "evict", "Sdoor1", "--reason", "stolen").stdout
    rows = json.loads(operator("member", "list", "--json").stdout)
    assert [row["state"] for row in rows if row["name"].endswith("Sdoor1")] in (["evicted"], [])
    operator("member", "evict", "Sdoor9", code=FAILED)
    for name in ("Sdoor2", "Sdoor3", "Sdoor4"):
        operator("member", "add", name, "--kind", "adn-ae", "--mode", "cert", "--site", "mn-1", "--function", "door")
    failed = operator("member", "evict", "Sdoor2", "Sdoor9", "Sdoor3", code=FAILED)
    assert failed.stdout == "" and "//sp.example/Sdoor9" in failed.stderr and "not evicted" in failed.stderr
    assert operator("member", "evict", "Sdoor2", "Sdoor3", "--reason", "lost").stdout == \
        "//sp.example/Sdoor2: evicted\n//sp.example/Sdoor3: evicted\n"
    told = operator("member", "evict", "Sdoor4", "--json").stdout
    assert json.loads(told) == {"name": "//sp.example/Sdoor4", "state": "evicted"}
    operator("member", "evict", code=USAGE)
    operator("member", "reauthenticate", "Sdoor9", code=FAILED)


def test_groups(operator):
    operator("member", "add", "mn-1", "--kind", "mn-cse", "--mode", "cert")
    assert operator("group", "list").stdout == "no groups\n"
    operator("group", "create", "doors", "--function", "door", "--site", "mn-1", "--overlap", "10s",
             "--response-window", "250ms", "--beat", "1m", "--aead", "aes-256-gcm", "--sign-messages")
    operator("group", "create", "doors", "--function", "door", "--site", "mn-1", code=FAILED)
    groups = json.loads(operator("group", "list", "--json").stdout)
    assert [(group["name"], group["function"], group["sites"]) for group in groups] == [
        ("doors", "door", ["//sp.example/mn-1"])]
    shown = json.loads(operator("group", "show", "doors", "--json").stdout)
    assert (shown["overlap_ms"], shown["response_window_ms"], shown["beat_interval_s"]) == (10000, 250, 60)
    assert shown["aead"] == "aes-256-gcm" and shown["sign_member_messages"] and shown["authority_only"]
    assert not shown["refuse_when_overdue"] and len(shown["instance"]) == 32
    text = operator("group", "show", "doors").stdout
    assert "aes-256-gcm" in text and "10 s" in text and "the IN-CSE only" in text
    assert shown["holdings"] == [] and json.loads(operator("group", "show", "doors", "--behind", "--json").stdout)[
        "roster"] == []
    assert "nobody is behind" in operator("group", "show", "doors", "--behind").stdout
    operator("group", "show", "windows", code=FAILED)
    # What ends a site's autonomy is said when it is set.
    warned = operator("group", "create", "exits", "--function", "exit", "--site", "mn-1", "--refuse-when-overdue")
    assert "refuse commands while the IN-CSE is away" in warned.stderr


def test_a_groups_life(operator):
    operator("member", "add", "mn-1", "--kind", "mn-cse", "--mode", "cert")
    operator("group", "create", "doors", "--function", "door", "--site", "mn-1")
    shown = json.loads(operator("group", "show", "doors", "--json").stdout)
    assert shown["rotate_every_s"] == 86400 and shown["changed"] == ""
    assert "nobody has a leaf in it" in operator("group", "rotate", "doors", code=FAILED).stderr
    operator("group", "rotate", "windows", code=FAILED)
    assert operator("group", "delete", "doors").stdout == "doors: deleted\n"
    operator("group", "delete", "doors", code=FAILED)
    operator("group", "create", "doors", "--function", "door", "--site", "mn-1", "--rotate-every", "30s", code=USAGE)
    operator("group", "create", "doors", "--function", "door", "--site", "mn-1", "--rotate-every", "off")
    again = json.loads(operator("group", "show", "doors", "--json").stdout)
    assert again["rotate_every_s"] == 0
    assert again["instance"] != shown["instance"] and again["incarnation"] > shown["incarnation"]
    assert "rotation by age: off" in operator("group", "show", "doors").stdout
    operator("group", "set", "doors", "--rotate-every", "12h")
    assert "rotation by age: 12h" in operator("group", "show", "doors").stdout


def test_clock(operator):
    shown = json.loads(operator("clock", "show", "--json").stdout)
    assert shown["state"] == "followed" and set(shown) == {"time", "system", "state", "until"}
    assert "followed" in operator("clock", "show").stdout
    assert "is not in doubt" in operator("clock", "accept", code=FAILED).stderr


def test_settings(operator):
    assert operator("settings").stdout == "leaf age         30d\ncollect          100 ms\n"
    assert json.loads(operator("settings", "--leaf-age", "12h", "--json").stdout) == {"leaf_age_s": 43200,
                                                                                            "collect_ms": 100}
    operator("settings", "--leaf-age", "30s", code=USAGE)
    assert json.loads(operator("settings", "--json").stdout) == {"leaf_age_s": 43200, "collect_ms": 100}
    assert operator("settings", "--leaf-age", "off").stdout == "leaf age         off\ncollect          100 ms\n"
    assert operator("settings", "--collect", "2s").stdout == "leaf age         off\ncollect          2000 ms\n"
    operator("settings", "--collect", "2m", code=USAGE)
    assert operator("settings", "--collect", "off").stdout == "leaf age         off\ncollect          off\n"


HEADER = "name,kind,mode,psk_file,site,functions\n"


def test_import(operator, tmp_path):
    folder = tmp_path / "import"
    (folder / "keys").mkdir(parents=True)
    (folder / "keys" / "Sdoor1.psk").write_text("cd" * 32)
    path = folder / "members.csv"
    rows = [f"Sdoor{number},adn-ae,cert,,mn-1,door;exit\n" for number in range(2, 150)]
    path.write_text(HEADER + "//sp.example/mn-1,mn-cse,cert,,,\nSdoor1,adn-ae,psk,keys/Sdoor1.psk,mn-1,door\n" +
                    "".join(rows))
    assert json.loads(operator("member", "import", path, "--json").stdout) == {"added": 150}
    assert len(json.loads(operator("member", "list", "--json").stdout)) == 150  # two pages of 128 at most
    # A batch is added whole or not at all; those before it stay.
    rows = [f"Sgate{number},adn-ae,cert,,mn-1,gate\n" for number in range(100)]
    rows[80] = "Sdoor7,adn-ae,cert,,mn-1,gate\n"  # is there already
    path.write_text(HEADER + "".join(rows))
    failed = operator("member", "import", path, "--json", code=FAILED)
    assert json.loads(failed.stdout) == {"added": 64}
    assert "Sdoor7" in failed.stderr and "rows 66 to 101" in failed.stderr
    names = {row["name"] for row in json.loads(operator("member", "list", "--json").stdout)}
    assert "//sp.example/Sgate63" in names and "//sp.example/Sgate64" not in names
    # A file that is not right is not begun.
    path.write_text(HEADER + "Slamp1,adn-ae,cert,,mn-1,lamp\nSlamp2,adn-ae,psk,,mn-1,lamp\n")
    assert "row 3" in operator("member", "import", path, code=FAILED).stderr
    path.write_text(HEADER + "Slamp1,adn-ae,cert,,mn-1,lamp\nSlamp2,adn-ae,psk,missing,mn-1,lamp\n")
    assert "row 3" in operator("member", "import", path, code=FAILED).stderr
    assert not [name for name in json.loads(operator("member", "list", "--json").stdout) if "Slamp" in name["name"]]


def test_send_without_members(operator):
    operator("member", "add", "mn-1", "--kind", "mn-cse", "--mode", "cert")
    operator("group", "create", "doors", "--function", "door", "--site", "mn-1")
    operator("send", "windows", "close", code=FAILED)
    operator("send", "doors", "x" * 16385, code=FAILED)
    operator("report", "00" * 16, code=FAILED)


def test_send_while_in_cse_run_is_away(make_site):
    """Nothing is heard of the members: the report names them all the same, and counts them."""
    site = make_site([Device("Sdoor1", "door"), Device("Sdoor2", "door", "psk")])
    site.start_all({"doors": "door"})
    site.running["in-cse"].stop()
    sent = site.operator("send", "doors", "close", "--valid", "60s", "--wait", "1s", check=False)
    report = json.loads(sent.stdout)
    assert sent.returncode == NO_ANSWER and not report["complete"] and report["group"] == "doors"
    assert report["no_answer"] == 2
    assert {row["name"]: row["outcome"] for row in report["members"]} == {
        "//sp.example/Sdoor1": "no answer", "//sp.example/Sdoor2": "no answer"}
    # Its twin: with in-cse run the same command is carried out, and the report of its id says so.
    site.start_in_cse()
    wait_until(lambda: json.loads(site.operator("report", report["command_id"], check=False).stdout)["done"] == 2, 40,
               "it was carried out")


class Authority(FakeSecenv):
    """Answers as an authority; `lose` ends the connection at these requests, `events` come before that."""

    def __init__(self, *arguments):
        super().__init__(*arguments, identity=IN_CSE)
        self.lose = set()
        self.pages = 3
        self.report_first = False
        self.slow = set()  # what takes over two seconds, the first time

    def _reply(self, request):
        kind = request.WhichOneof("request")
        if kind == "order_send" and self.report_first:
            self.event(report=self.pb.OrderReport(command_id=b"i" * 16, group="doors", pages=1))
        if kind in self.lose:
            self.connection.close()
            self.connection = None
            return
        if kind in self.slow:
            self.slow.remove(kind)
            time.sleep(2.1)
        message = self.pb.FromSecenv()
        message.reply.id = request.id
        if kind == "hello":
            message.reply.welcome.profile = "authority"
            message.reply.welcome.identities.append(self.identity)
        elif kind == "order_send":
            message.reply.order.command_id = b"i" * 16
        elif kind == "order_show":
            report = message.reply.report
            report.command_id, report.group, report.pages = request.order_show.command_id, "doors", self.pages
            report.page, report.complete = request.order_show.page, True
            for number in range(256):
                report.rows.add(name=f"//sp.example/S{report.page}x{number}", outcome=self.pb.DONE)
        self.connection.send(message.SerializeToString())


@pytest.fixture
def authority(tmp_path, build):
    with tempfile.TemporaryDirectory(prefix="groupseal-") as folder:
        fake = Authority(tmp_path, Path(folder) / "operator")
        fake.start()

        def command(*arguments, code):
            result = run([build / "bin" / "in-cse", *arguments, "--operator-socket", fake.path], check=False)
            assert result.returncode == code, result.stdout + result.stderr
            return result

        fake.command = command
        yield fake
        fake.stop()


def test_report_of_many_pages(authority):
    result = authority.command("report", "69" * 16, "--json", code=DONE)
    report = json.loads(result.stdout)
    assert report["complete"] and report["done"] == 3 * 256 == len(report["members"])


def test_what_takes_long_says_how_far_it_is(authority):
    names = [f"Sdoor{number}" for number in range(1025)]
    authority.slow = {"member_evict"}
    result = authority.command("member", "evict", *names, code=DONE)
    assert result.stderr == "in-cse: members evicted: 1024 of 1025\n" and result.stdout.count("evicted") == 1025
    assert authority.command("member", "evict", *names, code=DONE).stderr == ""  # where it is quick, nothing


def test_lost_after_sending(authority):
    """What may have been done does not look like what cannot be reached."""
    authority.lose = {"order_send", "member_evict"}
    result = authority.command("send", "doors", "close", code=UNCERTAIN)
    assert "may have been sent" in result.stderr and "cannot" not in result.stderr
    authority.report_first = True  # then its id is known
    assert f"in-cse report {'69' * 16}" in authority.command("send", "doors", "close", code=UNCERTAIN).stderr
    assert "may have been done" in authority.command("member", "evict", "Sdoor1", code=UNCERTAIN).stderr
    authority.lose = {"order_show"}
    assert "69" * 16 in authority.command("send", "doors", "close", "--wait", "1s", code=UNCERTAIN).stderr
    # The twins: lost before there was anything to do, and asked for what changes nothing.
    authority.command("report", "69" * 16, code=UNREACHABLE)
    authority.lose = {"hello"}
    authority.command("send", "doors", "close", code=UNREACHABLE)
    authority.lose = set()
    authority.command("send", "doors", "close", "--wait", "1s", code=DONE)


@pytest.mark.parametrize("arguments", [
    [], ["member"], ["member", "burn"], ["frobnicate"],
    ["member", "add", "Sdoor1"], ["member", "add", "Sdoor1", "--kind", "door", "--mode", "cert"],
    ["member", "add", "Sdoor1", "--kind", "adn-ae", "--mode", "none"],
    ["member", "add", "Sdoor1", "--kind", "adn-ae", "--mode", "psk", "--site", "mn-1"],
    ["member", "add", "Sdoor1", "--kind", "adn-ae", "--mode", "cert", "--psk-file", "x", "--site", "mn-1"],
    ["member", "add", "Sdoor1", "--kind", "adn-ae", "--mode", "cert"],
    ["member", "add", "mn-1", "--kind", "mn-cse", "--mode", "cert", "--site", "mn-1"],
    ["member", "add", "mn-1", "--kind", "adn-ae", "--mode", "cert", "--site", "mn-1"],  # is a CSE
    ["member", "add", "Sdoor1", "--kind", "mn-cse", "--mode", "cert"],  # is an AE
    ["member", "add", "Cdoor1", "--kind", "adn-ae", "--mode", "cert", "--site", "mn-1"],  # at which MN-CSE?
    ["member", "add", "S#1", "--kind", "adn-ae", "--mode", "cert", "--site", "mn-1"],
    ["member", "add", "Sdoor1", "--kind", "adn-ae", "--mode", "cert", "--site", "Sdoor2"],
    ["member", "evict"], ["member", "reauthenticate", "Sdoor1", "Sdoor2"], ["member", "evict", "Cdoor1"], ["member", "list", "x"],
    ["group", "create", "doors"], ["group", "create", "doors", "--function", "door"],
    ["group", "create", "doors", "--function", "door", "--site", "mn-1", "--overlap", "soon"],
    ["group", "show"], ["send", "doors"], ["send", "doors", "close", "now"],
    ["send", "doors", "close", "--valid", "25h"], ["send", "doors", "close", "--valid", "0"],
    ["send", "doors", "close", "--to", "Cdoor1"], ["report"], ["report", "abc"], ["report", "ZZ" * 16],
])
def test_usage(operator, arguments):
    where = operator.site.socket("operator") if len(arguments) > 2 else None
    assert operator(*arguments, code=USAGE, socket=where).stderr


def test_help(operator):
    assert "send GROUP PAYLOAD" in operator("--help", socket=None).stdout
    for command in (["member", "add"], ["member", "import"], ["group", "create"], ["send"], ["report"], ["run"]):
        assert "Usage: in-cse " + " ".join(command) in operator(*command, "--help", socket=None).stdout


def test_where_the_socket_is(operator, tmp_path):
    socket = str(operator.site.socket("operator"))
    operator("group", "list", socket=None, env=clean_environment() | {"GROUPSEAL_OPERATOR_SOCKET": socket})
    path = tmp_path / "o.conf"
    path.write_text(f'operator-socket = "{socket}"\n')
    operator("group", "list", "--config", path, socket=None)
    path.write_text("")
    assert "no operator-socket" in operator("group", "list", "--config", path, socket=None, code=USAGE).stderr
    assert "GROUPSEAL_OPERATOR_SOCKET" in operator("group", "list", socket=None, code=USAGE).stderr


def test_unreachable(operator):
    assert operator("group", "list", socket="/nonexistent/operator", code=UNREACHABLE).stderr
    # The owner's socket is not the operator's: the connection ends at the first request.
    operator("group", "list", socket=operator.site.socket("authority"), code=UNREACHABLE)
    operator("group", "list")
    operator.site.running["secenv-authority"].stop()
    operator("group", "list", code=UNREACHABLE)
