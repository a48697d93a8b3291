"""Puts TLS into a line and keeps what the server showed: version, cipher, chain; it never refuses a server.

A probe sends nothing worth protecting, so it takes whatever a server offers, and says afterwards whether a client
should have. The chain is OpenSSL's own: until Python 3.13 the list has no public name, and the server's own certificate
stands for it where even that is missing.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from airgap_check.address import parse
from airgap_check.probes import certificate
from airgap_check.probes.account import Checked, ConversationError, quoted

if TYPE_CHECKING:
    from airgap_check.evidence.asset import Outcome
    from airgap_check.probes.account import Target
    from airgap_check.probes.line import Line

_CURRENT = frozenset({"TLSv1.2", "TLSv1.3"})
_DER = 2  # Certificate.public_bytes(2), as `_ssl.ENCODING_DER`; 1 would be PEM


def secure(line: Line, target: Target) -> None:
    """Complete a TLS handshake on a line and judge what was shown. Raises `ConversationError` where there is none."""
    line.assert_silent()
    line.stage = "tls"
    context = _context()
    layer = _handshake(line, context, target.host)
    line.put_in(layer, layer.open(b""))
    version, cipher = layer.agreed()
    line.tls = f"{version} {cipher}"
    outcome: Outcome = "passed" if version in _CURRENT else "failed"
    line.checks += (Checked("tls-version", outcome, line.tls),)
    shown = certificate.examine(_chain(layer.object), _trusted_path(layer.object, context), target.host, target.at)
    line.expires = shown.expires
    line.named += shown.named
    line.checks += shown.checks
    line.stage = "protocol"


class _Session:
    """A client's TLS session between two buffers; see `airgap_check.probes.line.Layer`."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ended = False
        try:
            self.object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=_asked_for(host))
        except ValueError:  # UnicodeError is one: a label that is too long
            raise ConversationError(f"{quoted(host)} is no name that TLS could ask for") from None

    def advance(self, wire: bytes) -> bool:
        """Go on with the handshake and tell whether it is complete."""
        self._incoming.write(wire)
        try:
            self.object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def agreed(self) -> tuple[str, str]:
        """Return the version and the cipher."""
        cipher = self.object.cipher()
        return self.object.version() or "?", cipher[0] if cipher else "?"

    def seal(self, plain: bytes) -> bytes:
        """Return the records that carry these bytes. Raises `ConversationError` when the other side broke off."""
        try:
            self.object.write(plain)
        except ssl.SSLError as error:
            raise ConversationError(_reason(error)) from None
        return self._outgoing.read()

    def open(self, wire: bytes) -> bytes:
        """Return what these records carry. Raises `ConversationError` for broken ones, and for an alert."""
        self._incoming.write(wire)
        plain = bytearray()
        try:
            while part := self.object.read(1 << 16):
                plain += part
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            raise ConversationError(_reason(error)) from None
        return bytes(plain)

    def answer(self) -> bytes:
        """Return what TLS itself has to say: the rest of a handshake, an alert, a key update."""
        return self._outgoing.read()

    def close(self) -> bytes:
        """Return the record that says good-bye."""
        with suppress(ssl.SSLError, ValueError):  # it waits for theirs, which nobody needs
            self.object.unwrap()
        return self._outgoing.read()


def _handshake(line: Line, context: ssl.SSLContext, host: str) -> _Session:
    session = _Session(context, host)
    wire = b""
    try:
        while not session.advance(wire):
            line.send_raw(session.answer())
            wire = line.receive_raw()
            if not wire:
                raise ConversationError("it hung up during the TLS handshake")
    except ssl.SSLError as error:
        line.send_raw(session.answer())  # the alert that tells it why
        raise ConversationError(_reason(error)) from None
    line.send_raw(session.answer())
    return session


@cache
def _context() -> ssl.SSLContext:
    """Make a context that takes anything, and still looks for the path to an authority that the system trusts.

    One for all: reading the system's authorities takes 30 ms.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def _asked_for(host: str) -> str | None:
    """Return the name for the handshake's SNI, which holds no addresses (RFC 6066, section 3)."""
    return None if parse(host) else host.rstrip(".")


def _chain(session: ssl.SSLObject) -> list[bytes]:
    """Return the certificates that the server sent, DER, its own first."""
    own = session.getpeercert(binary_form=True)
    return _listed(session, "get_unverified_chain") or ([own] if own else [])


def _trusted_path(session: ssl.SSLObject, context: ssl.SSLContext) -> list[bytes]:
    """Return the path that OpenSSL built from the server's certificate to one that the system trusts; [] without one.

    Signatures and dates on it are still to be judged: nobody asked OpenSSL to insist.
    """
    path = _listed(session, "get_verified_chain")
    return path if path and path[-1] in context.get_ca_certs(binary_form=True) else []


def _listed(session: ssl.SSLObject, name: str) -> list[bytes]:
    owner: Any = session if hasattr(session, name) else getattr(session, "_sslobj", None)
    certificates: Any = getattr(owner, name, list)()
    return [item if isinstance(item, bytes) else item.public_bytes(_DER) for item in certificates or ()]


def _reason(error: ssl.SSLError) -> str:
    reason = (error.reason or str(error)).replace("_", " ").lower()
    return f"TLS: {quoted(reason)}"
