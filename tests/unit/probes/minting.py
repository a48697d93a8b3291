"""Certificates for tests: an authority, and servers that it vouches for."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NOW = datetime.now(UTC).replace(microsecond=0)
OCSP, ISSUERS, REVOKED = (
    "http://ocsp.pki.example/q",
    "http://aia.pki.example/ca.cer",
    "http://crl.pki.example:8080/r.crl",
)


class Pair(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def write(self, folder: Path, *chain: Pair) -> tuple[Path, Path]:
        """Write certificate, chain and key as servers read them."""
        certificate, key = folder / "server.crt", folder / "server.key"
        certificate.write_bytes(b"".join(pair.pem for pair in (self, *chain)))
        key.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        key.chmod(0o600)
        return certificate, key

    def context(self, folder: Path, *chain: Pair) -> ssl.SSLContext:
        """Return a server's context."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.write(folder, *chain))
        return context


def mint(
    subject: str,
    issuer: Pair | None = None,
    *,
    hosts: Sequence[str] = (),
    authority: bool = False,
    begins: datetime = NOW - timedelta(days=1),
    ends: datetime = NOW + timedelta(days=365),
    services: bool = False,
    signer: ec.EllipticCurvePrivateKey | None = None,
) -> Pair:
    """Mint a certificate; ``services`` puts the hosts of AIA and CRL into it, ``signer`` forges the signature."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer.certificate.subject if issuer else _name(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(host) for host in hosts]), critical=False)
    if services:
        access = [
            x509.AccessDescription(x509.OID_OCSP, x509.UniformResourceIdentifier(OCSP)),
            x509.AccessDescription(x509.OID_CA_ISSUERS, x509.UniformResourceIdentifier(ISSUERS)),
        ]
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(REVOKED)], None, None, None)
        builder = builder.add_extension(x509.AuthorityInformationAccess(access), critical=False)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    signing = signer or (issuer.key if issuer else key)
    return Pair(builder.sign(signing, hashes.SHA256()), key)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
