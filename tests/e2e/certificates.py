# SPDX-License-Identifier: Apache-2.0
"""Certificates, and authorities that sign them, made for one run."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


def certificate(name, issuer=None, whose=LOOPBACK):
    """A key and a certificate for `whose`, signed by `issuer` or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now, hour = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(hours=1)
    builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
    builder = builder.issuer_name(issuer[1].subject if issuer else subject).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - hour).not_valid_after(now + hour)
    builder = builder.add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([whose]), critical=False)
    return key, builder.sign(issuer[0] if issuer else key, hashes.SHA256())


def write(folder, name, pair):
    """Writes a key and a certificate as PEM; answers with their paths."""
    key, crt = folder / (name + ".key"), folder / (name + ".crt")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key.write_bytes(pair[0].private_bytes(*form))
    crt.write_bytes(pair[1].public_bytes(serialization.Encoding.PEM))
    return str(crt), str(key)
