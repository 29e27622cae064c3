# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's interface, with Mosquitto's own tools, as docs/operations.md shows."""

import json
import re
import shlex

from harness.processes import REPOSITORY, run, wait_until
from harness.site import MN_CSE, Device

ADMIN = "Soperator"


def example():
    """The command that the operations guide shows."""
    text = (REPOSITORY / "docs" / "operations.md").read_text()
    return re.search(r"^    (mosquitto_rr (?:.*\\\n)*.*)", text, re.MULTILINE).group(1).replace("\\\n", " ")


def place(words, site, stem):
    """The example's words with the files and the port of this test's broker."""
    files = {"hop-ca.pem": site.pki.hop_ca, "admin.pem": site.pki.file(stem, "hop.pem"),
             "admin.key": site.pki.file(stem, "hop.key"), "broker.example": "localhost",
             "8883": site.broker.certificate_port}
    return [str(files.get(word, word)) for word in words]


def test_operator(make_site):
    devices = [Device("Sdoor1", "door", "psk"), Device("Sdoor2", "door")]
    site = make_site(devices)
    site.broker.plugin |= {"commander": "mn-cse", "control_send": "allow", "admin": ADMIN}
    for stem in (ADMIN, "Sspy1"):
        site.pki.make("device", stem)
    site.start_authority()
    site.add_members()
    site.operator("group", "create", "doors", "--function", "door", "--site", MN_CSE, "--mn-cse-commands")
    site.start_secenv("mn")
    site.start_broker()
    site.start_in_cse()
    for stem in site.devices:
        site.start_device(stem)
    site.wait_ready()

    words = shlex.split(example())

    def ask(stem, **command):
        asked = [*place(words, site, stem), "-W", "60" if stem == ADMIN else "2"]
        if command:
            asked[asked.index("-m") + 1] = json.dumps({"commands": [command]})
        result = run(asked, check=False)
        return json.loads(result.stdout)["responses"][0] if result.stdout.strip() else None

    # As shown: a command, and its receipts.
    data = ask(ADMIN)["data"]
    assert data["complete"] and {row["member"]: row["outcome"] for row in data["receipts"]} == {
        "//sp.example/Sdoor1": "done", "//sp.example/Sdoor2": "done"}
    assert site.done("Sdoor1", "close") == 1 and site.done("Sdoor2", "close") == 1
    receipts = ask(ADMIN, command="getReceipts", group="doors", commandId=data["commandId"])["data"]
    assert receipts["receipts"] == data["receipts"]

    status = ask(ADMIN, command="getStatus", correlationData="a")
    assert status["correlationData"] == "a" and status["data"]["secureEnvironment"] and status["data"]["cseId"] == MN_CSE
    groups = ask(ADMIN, command="listGroups")["data"]["groups"]
    assert [(group["group"], group["mayCommand"], group["newsOverdue"]) for group in groups] == [("doors", True, False)]
    members = ask(ADMIN, command="listMembers", group="doors")["data"]
    assert {"//sp.example/Sdoor1", "//sp.example/Sdoor2"} < set(members["members"])
    associations = ask(ADMIN, command="listAssociations")["data"]["associations"]
    assert [row["associated"] for row in associations] == [True]
    assert ask(ADMIN, command="listPending")["data"]["ruleCommands"] == 0

    # Another one with a good certificate gets nothing, and does nothing.
    assert ask("Sspy1") is None
    for stem in ("Sspy1", ADMIN):  # without waiting for an answer
        connection = place(words, site, stem)[1:words.index("-t")]
        payload = json.dumps({"commands": [{"command": "sendCommand", "group": "doors", "payload": f"by {stem}"}]})
        run(["mosquitto_pub", *connection, "-q", "1", "-t", "$CONTROL/groupseal/v1", "-m", payload])
    wait_until(lambda: site.done("Sdoor1", f"by {ADMIN}") == 1, 10, "the admin's command is done")
    assert site.done("Sdoor1", "by Sspy1") == 0


def test_send_is_off_unless_allowed(make_site):
    site = make_site([Device("Sdoor1", "door", "psk")])
    site.broker.plugin |= {"admin": ADMIN}
    site.pki.make("device", ADMIN)
    site.start_all({"doors": "door"})
    words = place(shlex.split(example()), site, ADMIN)
    answer = json.loads(run([*words, "-W", "60"]).stdout)["responses"][0]
    assert "plugin_opt_control_send allow" in answer["error"]
    assert site.done("Sdoor1", "close") == 0
    assert site.send("doors", "close") == {"Sdoor1": "done"}
