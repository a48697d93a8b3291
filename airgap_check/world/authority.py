"""A certificate authority that exists for one rehearsal: in memory, and nowhere else.

Source: RFC 5280; memfd_create(2), because OpenSSL's way to load a chain is a file.
"""

from __future__ import annotations

import os
import ssl
from collections import OrderedDict
from datetime import timedelta
from typing import TYPE_CHECKING

from airgap_check.address import parse

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.x509 import Certificate, CertificateBuilder, GeneralName, KeyUsage, Name

_KEPT = 128  # contexts
_BEFORE, _AFTER = timedelta(days=1), timedelta(days=30)
_LONGEST_COMMON_NAME = 64  # RFC 5280, ub-common-name
# What clients of databases and name servers insist on beside HTTP; what a client does not offer is never chosen.
_PROTOCOLS = ["h2", "http/1.1", "dot", "postgresql"]


class Authority:
    """The authority. ``certificate`` (PEM) is what a client has to trust.

    Its certificates are valid from a day before ``now``, because the clock of what is rehearsed may be set back.
    """

    def __init__(self, now: datetime) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        key = ec.generate_private_key(ec.SECP256R1())  # one for all servers
        self._leaf = key.public_key()
        self._leaf_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._name = _subject("airgap-check rehearsal: for this run alone")
        self._contexts: OrderedDict[str, ssl.SSLContext] = OrderedDict()
        self.certificate: bytes = self._certify_itself().public_bytes(Encoding.PEM)

    def context(self, name: str) -> ssl.SSLContext:
        """Return a server's context for a DNS name or an address, as text; the least used ones are forgotten."""
        found = self._contexts.get(name)
        if found is None:
            found = self._contexts[name] = self._make(name)
            if len(self._contexts) > _KEPT:
                self._contexts.popitem(last=False)
        self._contexts.move_to_end(name)
        return found

    def _make(self, name: str) -> ssl.SSLContext:
        from cryptography.hazmat.primitives.serialization import Encoding

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(_PROTOCOLS)
        context.num_tickets = 1  # without any, the end of each handshake would be acknowledged 40 ms late
        descriptor = os.memfd_create("chain", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, self._certify(name).public_bytes(Encoding.PEM) + self._leaf_pem)
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        return context

    def _certify(self, name: str) -> Certificate:
        """Sign a certificate for a server."""
        from cryptography import x509
        from cryptography.x509.oid import ExtendedKeyUsageOID

        builder = (
            self._begin(_subject(name if len(name) <= _LONGEST_COMMON_NAME else ""), self._leaf)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_alternative(name)]), critical=len(name) > _LONGEST_COMMON_NAME)
        )
        return self._sign(builder)

    def _certify_itself(self) -> Certificate:
        from cryptography import x509

        builder = (
            self._begin(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
        )
        return self._sign(builder)

    def _begin(self, subject: Name, key: EllipticCurvePublicKey) -> CertificateBuilder:
        from cryptography import x509

        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _BEFORE)
            .not_valid_after(self._now + _AFTER)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )

    def _sign(self, builder: CertificateBuilder) -> Certificate:
        from cryptography.hazmat.primitives import hashes

        return builder.sign(self._key, hashes.SHA256())


def _subject(text: str) -> Name:
    """Return a name of one attribute, or of none where the text is too long for one."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


def _alternative(name: str) -> GeneralName:
    from cryptography import x509

    address = parse(name)
    return x509.IPAddress(address) if address is not None else x509.DNSName(name.replace("*", "_"))


def _usage(*, signs: bool) -> KeyUsage:
    """Return what a key is for: to sign certificates, or to prove who a server is."""
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
