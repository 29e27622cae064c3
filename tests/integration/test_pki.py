# SPDX-License-Identifier: GPL-3.0-or-later
"""groupseal-pki: each certificate has the names and usages of docs/protocol.md section 2, and no others."""

import re
import stat
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from harness.pki import PROGRAM
from harness.processes import run

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
MAIL = ExtendedKeyUsageOID.EMAIL_PROTECTION


def certificate(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def public(path):
    return certificate(path).public_key().public_numbers()


def usages(cert):
    usage = cert.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    names = ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
             "key_agreement", "key_cert_sign", "crl_sign"]
    return [name for name in names if getattr(usage.value, name)]


def extended(cert):
    return list(cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def names(cert):
    return list(cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


def verified(ca, path):
    return run(["openssl", "verify", "-x509_strict", "-CAfile", ca, path], check=False).returncode == 0


@pytest.fixture
def site(pki):
    pki.make("in-cse")
    pki.make("mn-cse", "mn-1", "--agreement")
    pki.make("broker", "mn-1", "--address", "broker.sp.example", "--address", "127.0.0.1", "--address", "::1")
    pki.make("device", "Sdoor1", "--agreement")
    pki.make("device", "Cdoor2", "--cse", "mn-1")
    return pki


CASES = [
    ("hop", "in-cse", "hop", "digital_signature", CLIENT, [x509.DNSName("in-cse.sp.example")]),
    ("e2e", "in-cse", "e2e", "digital_signature", SERVER, [x509.DNSName("in-cse.sp.example")]),
    ("e2e", "mn-1", "e2e", "digital_signature", CLIENT, [x509.DNSName("mn-1.in-cse.sp.example")]),
    ("e2e", "mn-1", "agree", "key_agreement", MAIL, [x509.DNSName("mn-1.in-cse.sp.example")]),
    ("hop", "Sdoor1", "hop", "digital_signature", CLIENT,
     [x509.UniformResourceIdentifier("m2m://sp.example/Sdoor1")]),
    ("e2e", "Sdoor1", "e2e", "digital_signature", CLIENT,
     [x509.UniformResourceIdentifier("m2m://sp.example/Sdoor1")]),
    ("e2e", "Sdoor1", "agree", "key_agreement", MAIL,
     [x509.UniformResourceIdentifier("m2m://sp.example/Sdoor1")]),
    ("e2e", "Cdoor2", "e2e", "digital_signature", CLIENT,
     [x509.UniformResourceIdentifier("m2m://sp.example/mn-1/Cdoor2")]),
]


def test_names_and_usages_of_each_certificate(site):
    for authority, name, kind, usage, purpose, san in CASES:
        cert = certificate(site.file(name, f"{kind}.pem"))
        assert usages(cert) == [usage], (name, kind)
        assert extended(cert) == [purpose], (name, kind)
        assert names(cert) == san, (name, kind)
        assert cert.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value == name
        assert not cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert isinstance(cert.signature_hash_algorithm, hashes.SHA256)
        assert isinstance(cert.public_key().curve, ec.SECP256R1)
        key = serialization.load_pem_private_key(site.file(name, f"{kind}.key").read_bytes(), None)
        assert key.public_key().public_numbers() == cert.public_key().public_numbers()
        own, other = (site.hop_ca, site.e2e_ca) if authority == "hop" else (site.e2e_ca, site.hop_ca)
        assert verified(own, site.file(name, f"{kind}.pem"))
        assert not verified(other, site.file(name, f"{kind}.pem"))


def test_broker_certificate(site):
    cert = certificate(site.file("mn-1", "broker.pem"))
    assert extended(cert) == [SERVER]
    assert [str(name.value) for name in names(cert)] == ["broker.sp.example", "127.0.0.1", "::1"]
    assert verified(site.hop_ca, site.file("mn-1", "broker.pem"))


def test_authorities(site):
    for path in (site.hop_ca, site.e2e_ca):
        cert = certificate(path)
        constraints = cert.extensions.get_extension_for_class(x509.BasicConstraints)
        assert constraints.critical and constraints.value.ca and constraints.value.path_length == 0
        assert usages(cert) == ["key_cert_sign", "crl_sign"]
        with pytest.raises(x509.ExtensionNotFound):
            cert.extensions.get_extension_for_oid(ExtensionOID.NAME_CONSTRAINTS)
    assert public(site.hop_ca) != public(site.e2e_ca)


def test_all_keys_differ(site):
    keys = [public(path) for path in site.folder.glob("issued/*/*.pem")]
    assert len(keys) == 10 and len(set(keys)) == 10


def test_validity(pki):
    pki.make("device", "Sdoor1", "--days", "7")
    cert = certificate(pki.file("Sdoor1", "e2e.pem"))
    days = (cert.not_valid_after - cert.not_valid_before).total_seconds() / 86400
    assert 7 <= days < 7.1


def test_psks(pki):
    pki.make("psk", "Sdoor1")
    pki.make("psk", "Sdoor2", "e2e")
    pki.make("psk", "Sdoor3", "hop")
    keys = [pki.file(name, kind).read_text().strip()
            for name, kind in (("Sdoor1", "hop.psk"), ("Sdoor1", "e2e.psk"), ("Sdoor2", "e2e.psk"),
                               ("Sdoor3", "hop.psk"))]
    assert all(re.fullmatch("[0-9a-f]{64}", key) for key in keys)
    assert len(set(keys)) == 4
    assert pki.psk_file.read_text().splitlines() == [f"Sdoor1:{keys[0]}", f"Sdoor3:{keys[3]}"]
    assert not pki.file("Sdoor2", "hop.psk").exists() and not pki.file("Sdoor3", "e2e.psk").exists()


def test_nothing_is_readable_by_others(site):
    site.make("psk", "Sdoor3")
    site.make("revoke", "Sdoor3")
    for path in [site.folder, *site.folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def revoked(pki, authority):
    crl = x509.load_pem_x509_crl((pki.folder / authority / "crl.pem").read_bytes())
    assert crl.is_signature_valid(certificate(pki.folder / authority / "ca.pem").public_key())
    number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    return [entry.serial_number for entry in crl], number


def test_revocation(site):
    site.make("psk", "Sdoor1")
    site.make("psk", "Sdoor10")
    serials = {kind: certificate(site.file("Sdoor1", f"{kind}.pem")).serial_number
               for kind in ("hop", "e2e", "agree")}
    assert revoked(site, "hop") == ([], 1)
    site.make("revoke", "Sdoor1")
    assert revoked(site, "hop") == ([serials["hop"]], 2)
    listed, number = revoked(site, "e2e")
    assert sorted(listed) == sorted([serials["e2e"], serials["agree"]]) and number == 2
    assert [line.split(":")[0] for line in site.psk_file.read_text().splitlines()] == ["Sdoor10"]
    # The name can have new ones.
    site.make("device", "Sdoor1")
    assert certificate(site.file("Sdoor1", "e2e.pem")).serial_number not in serials.values()
    site.make("crl")
    assert revoked(site, "e2e")[1] == 3


def test_nothing_is_overwritten(site):
    before = site.file("Sdoor1", "hop.pem").read_bytes()
    again = run([PROGRAM, "--dir", site.folder, "device", "Sdoor1"], check=False)
    assert again.returncode == 1 and "exists" in again.stderr
    assert site.file("Sdoor1", "hop.pem").read_bytes() == before
    assert run([PROGRAM, "init", site.folder, "--sp", "a", "--in-cse", "b"], check=False).returncode == 1


@pytest.mark.parametrize("arguments", [
    [], ["device"], ["device", "door1"], ["device", "Sdoor/1"], ["device", "S"], ["device", "Cdoor1"],
    ["device", "Sdoor1,DNS:x"], ["mn-cse", "Smn"], ["mn-cse", "mn 1"], ["mn-cse", "mn.1"], ["broker", "mn-1"],
    ["broker", "mn-1", "--address", "a,DNS:b"], ["psk"], ["psk", "a:b"], ["psk", "Sa", "other"],
    ["device", "Sdoor1", "--days", "x"], ["device", "Sdoor1", "--days", "0"], ["device", "Sdoor1", "--day", "1"],
    ["nonsense"], ["device", "Sdoor1", "x", "y"],
])
def test_wrong_usage_is_told_and_makes_nothing(pki, arguments):
    before = sorted(pki.folder.rglob("*"))
    result = run([PROGRAM, "--dir", pki.folder, *arguments], check=False)
    assert result.returncode == 2 and "--help" in result.stderr
    after = [path for path in sorted(pki.folder.rglob("*")) if path.name != "lock"]
    assert after == before


def test_help_and_missing_pki(tmp_path):
    assert "usage:" in run([PROGRAM, "--help"]).stdout
    result = subprocess.run([PROGRAM, "--dir", str(tmp_path), "in-cse"], capture_output=True, text=True, check=False)
    assert result.returncode == 1 and "holds no PKI" in result.stderr
