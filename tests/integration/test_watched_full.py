# SPDX-License-Identifier: GPL-3.0-or-later
# ctest: full
"""What operators watch, every ten seconds: a file for Prometheus, and topics beside the broker's own."""

import re

from harness.processes import run, wait_until
from harness.site import Device


def test_counters(make_site, tmp_path):
    site = make_site([Device("Sdoor1", "door", "psk"), Device("Sdoor2", "door")])
    metrics = tmp_path / "groupseal.prom"
    site.broker.plugin |= {"metrics_file": metrics}
    site.start_all({"doors": "door"})
    site.send("doors", "close")
    wait_until(lambda: metrics.exists() and "groupseal_secenv_commands_sealed_total 1" in metrics.read_text(), 40,
               "the file has the counters of the secure environment")
    text = metrics.read_text()
    assert re.search(r'^groupseal_group_epoch\{group="doors"\} [1-9]', text, re.MULTILINE)
    assert re.search(r"^groupseal_secenv_commands_seal_us_total [1-9]", text, re.MULTILINE)
    assert all(re.fullmatch(r"# TYPE \w+ (counter|gauge)|\w+(\{\w+=\"[\w.-]+\"\})? \d+", line)
               for line in text.splitlines())
    assert [path.name for path in tmp_path.glob("*.next")] == []
    watched = run(["mosquitto_sub", "--cafile", site.pki.hop_ca, "--cert", site.pki.file("Sdoor2", "hop.pem"),
                   "--key", site.pki.file("Sdoor2", "hop.key"), "-h", "localhost",
                   "-p", site.broker.certificate_port, "-t", "$SYS/broker/groupseal/#", "-v", "-W", "3"],
                  check=False).stdout
    assert re.search(r"^\$SYS/broker/groupseal/registrations 2$", watched, re.MULTILINE)
    assert re.search(r"^\$SYS/broker/groupseal/group_members/doors 3$", watched, re.MULTILINE)


def test_file_that_cannot_be_written(make_site, tmp_path):
    """It is told once, and the broker goes on."""
    site = make_site([Device("Sdoor1", "door", "psk")])
    site.broker.plugin |= {"metrics_file": tmp_path / "none" / "groupseal.prom"}
    site.start_all({"doors": "door"})
    wait_until(lambda: "plugin_opt_metrics_file" in site.broker.process.text(), 30, "it is told")
    assert site.send("doors", "close") == {"Sdoor1": "done"}
