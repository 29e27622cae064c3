#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""End-to-end credentials for benchmarks, many and quickly (certs/groupseal-pki makes one in some tenths of a
second): credentials.py FOLDER DEVICES [HOP], where HOP gets those for the broker"""

import datetime
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SP = "sp.example"
NOW = datetime.datetime.utcnow()
START = NOW - datetime.timedelta(days=1)
END = NOW + datetime.timedelta(days=30)


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def usage(**wanted):
    known = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{one: wanted.get(one, False) for one in known})


def builder(subject, issuer, key):
    return (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(START).not_valid_after(END))


def pem(thing):
    return thing.public_bytes(serialization.Encoding.PEM)


class Authority:
    def __init__(self, folder, common_name):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.folder = folder
        self.cn = common_name
        self.key = ec.generate_private_key(ec.SECP256R1())
        identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        self.certificate = (builder(self.cn, self.cn, self.key)
                            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                            .add_extension(usage(key_cert_sign=True, crl_sign=True), critical=True)
                            .add_extension(identifier, critical=False).sign(self.key, hashes.SHA256()))
        self.link = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        (folder / "ca.pem").write_bytes(pem(self.certificate))

    def issue(self, stem, san, purpose):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (builder(stem, self.cn, key)
                       .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                       .add_extension(usage(digital_signature=True), critical=True)
                       .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
                       .add_extension(x509.SubjectAlternativeName([san]), critical=False)
                       .add_extension(self.link, critical=False).sign(self.key, hashes.SHA256()))
        (self.folder / f"{stem}.pem").write_bytes(pem(certificate))
        (self.folder / f"{stem}.key").write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return certificate

    def revoke(self, certificate):
        revoked = (x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
                   .revocation_date(NOW).build())
        crl = (x509.CertificateRevocationListBuilder().issuer_name(name(self.cn)).last_update(START)
               .next_update(END).add_extension(self.link, critical=False)
               .add_extension(x509.CRLNumber(1), critical=False)
               .add_revoked_certificate(revoked).sign(self.key, hashes.SHA256()))
        (self.folder / "crl.pem").write_bytes(pem(crl))


def stem(number):
    return f"Sbench{number:06}"


def end_to_end(folder, devices):
    authority = Authority(folder, "Groupseal benchmark end-to-end CA")
    client, server = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
    authority.issue("in-cse", x509.DNSName(f"in-cse.{SP}"), server)
    authority.issue("mn-1", x509.DNSName(f"mn-1.in-cse.{SP}"), client)
    for number in range(devices):
        authority.issue(stem(number), x509.UniformResourceIdentifier(f"m2m://{SP}/{stem(number)}"), client)
    authority.revoke(authority.issue("lost", x509.UniformResourceIdentifier(f"m2m://{SP}/Slost"), client))


def hop(folder, devices):
    authority = Authority(folder, "Groupseal benchmark hop CA")
    authority.issue("broker", x509.DNSName("localhost"), ExtendedKeyUsageOID.SERVER_AUTH)
    for name_ in ("in-cse", *map(stem, range(devices))):
        authority.issue(name_, x509.DNSName(f"{name_}.{SP}"), ExtendedKeyUsageOID.CLIENT_AUTH)


def main(folder, devices, hop_folder=None):
    end_to_end(Path(folder), int(devices))
    if hop_folder is not None:
        hop(Path(hop_folder), int(devices))


if __name__ == "__main__":
    main(*sys.argv[1:])
