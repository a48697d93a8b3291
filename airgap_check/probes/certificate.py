"""Reads the certificates that a server shows: how long it lasts, whether the system trusts it, whose hosts it drags in.

A certificate names the hosts where a client may fetch its issuer, ask whether it was revoked, or load a revocation
list (RFC 5280, 4.2.1.13 and 4.2.2.1). No handshake shows that traffic; some client makes it one day.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airgap_check.address import parse
from airgap_check.domain import normal
from airgap_check.objectos.endpoint import parse as endpoints_of
from airgap_check.probes import trust
from airgap_check.probes.account import Checked, Named, quoted
from airgap_check.redact import url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from cryptography.x509 import Certificate

    from airgap_check.evidence.asset import Outcome

_MOST_CERTIFICATES = 10
_MOST_HOSTS = 32  # that one certificate names


class Shown(NamedTuple):
    """What a chain says; ``expires`` is the end of the server's own certificate."""

    expires: datetime | None
    named: tuple[Named, ...]
    checks: tuple[Checked, ...]


def examine(chain: Sequence[bytes], path: Sequence[bytes], host: str, at: datetime | None) -> Shown:
    """Read a chain as the server showed it, its own certificate first, DER.

    ``path`` leads from that one to an authority of the system's trust store, empty where none was found; ``host`` is
    whom a client wants to talk to; ``at`` is now, where that is known. What cannot be read is a check without outcome.
    """
    if not chain:
        return Shown(None, (), (_trust("unknown", "the server showed no certificate"),))
    named: list[Named] = []
    checks: list[Checked] = []
    expires = None
    for index, der in enumerate(chain[:_MOST_CERTIFICATES]):
        pointer = f"certificate[{index}]"
        try:
            one = _load(der)
            named += _hosts(one, pointer)
            if index == 0:
                expires = one.not_valid_after_utc
                checks += (_trust(*trust.judge(one, [_load(other) for other in path], at)), _name(one, host))
        except unreadable() as error:
            checks.append(_trust("unknown", f"it cannot be read: {quoted(str(error))}", pointer))
    if len(chain) > _MOST_CERTIFICATES:
        checks.append(_trust("unknown", f"{len(chain)} certificates, of which {_MOST_CERTIFICATES} were read"))
    return Shown(expires, tuple(named), tuple(checks))


def unreadable() -> tuple[type[Exception], ...]:
    """Return what the *cryptography* library raises for malformed certificates, often on first sight of a field."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    return (
        ValueError, TypeError, UnsupportedAlgorithm,
        x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType,
    )  # fmt: skip


def _load(der: bytes) -> Certificate:
    from cryptography import x509

    return x509.load_der_x509_certificate(der)


def _trust(outcome: Outcome, detail: str, pointer: str = "certificate[0]") -> Checked:
    return Checked("certificate-trust", outcome, detail, pointer)


# --- names -----------------------------------------------------------------------------------------------------------


def _name(own: Certificate, host: str) -> Checked:
    """Compare the host with the alternative names (RFC 9525); a common name alone is taken by some clients only."""
    from cryptography import x509

    try:
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = [str(item.value) for item in own.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
        if any(_covers(name, host) for name in common):
            return _named("unknown", "it names the host as its common name alone, which not every client takes")
        return _named("failed", f"it is of {', '.join(quoted(name) for name in common[:5]) or 'nobody'}")
    wanted = parse(host)
    addresses = names.get_values_for_type(x509.IPAddress)
    texts = names.get_values_for_type(x509.DNSName)
    if any(str(address) == str(wanted) for address in addresses) or any(_covers(name, host) for name in texts):
        return _named("passed", "")
    every = [quoted(str(name)) for name in (*texts, *addresses)]
    return _named("failed", f"it is of {', '.join(every[:5]) or 'nobody'}")


def _named(outcome: Outcome, detail: str) -> Checked:
    return Checked("certificate-name", outcome, detail, "certificate[0]")


def _covers(pattern: str, host: str) -> bool:
    """Tell whether a name of a certificate is the host's; a star stands for the whole leftmost label."""
    if parse(host):
        return False
    pattern, host = normal(pattern), normal(host)
    if pattern.startswith("*."):
        label, dot, rest = host.partition(".")
        return bool(label and dot) and rest == pattern[2:]
    return pattern == host


# --- hosts -----------------------------------------------------------------------------------------------------------


def _hosts(one: Certificate, pointer: str) -> Iterator[Named]:
    """Yield the hosts that a certificate sends its readers to."""
    seen = []
    for field, text in _locations(one):
        if text.lower().startswith("ldap:///"):
            continue  # the reader's own directory: no host is named
        if text not in seen:
            seen.append(text)
            ends = endpoints_of(text)
            yield Named(f"{pointer}.{field}", url(text), "pki", ends[0] if ends else None)
        if len(seen) == _MOST_HOSTS:
            return


def _locations(one: Certificate) -> Iterator[tuple[str, str]]:
    from cryptography import x509

    access = {x509.OID_OCSP: "AIA.OCSP", x509.OID_CA_ISSUERS: "AIA.CAIssuers"}
    for extension in one.extensions:
        value = extension.value
        if isinstance(value, x509.AuthorityInformationAccess):
            for item in value:
                if isinstance(item.access_location, x509.UniformResourceIdentifier):
                    yield access.get(item.access_method, "AIA"), item.access_location.value
        elif isinstance(value, (x509.CRLDistributionPoints, x509.FreshestCRL)):
            for point in value:
                for name in point.full_name or ():
                    if isinstance(name, x509.UniformResourceIdentifier):
                        yield "CRL", name.value
