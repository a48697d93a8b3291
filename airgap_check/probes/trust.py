"""Judges the path from a server's certificate to an authority that the system trusts.

OpenSSL finds the path; here it is judged: signatures, authorities, dates, then the whole by the verifier of the
*cryptography* library. That one is stricter than the clients of a runtime, so what it alone turns down is undecided.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.probes.account import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography.x509 import Certificate

    from airgap_check.evidence.asset import Outcome


class Judgement(NamedTuple):
    """Whether the system trusts it, and why."""

    outcome: Outcome
    detail: str


def judge(own: Certificate, path: Sequence[Certificate], at: datetime | None) -> Judgement:
    """Judge a path that ends with what the system trusts; an empty one leads nowhere.

    That the certificate itself has ended is not judged here. ``at`` is now, where that is known. Raises what
    `airgap_check.probes.certificate.unreadable` lists.
    """
    if at and at < own.not_valid_before_utc:
        return Judgement("failed", f"it is not valid before {own.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")
    if not path and own.issuer == own.subject:
        return Judgement("failed", "it is signed by itself, and the system does not know it")
    if not path:
        return Judgement("failed", f"the system knows no way to an authority from its issuer, {_whose(own.issuer)}")
    if len(path) == 1:
        return Judgement("passed", "the system trusts this very certificate")
    moment = min(at, own.not_valid_after_utc) if at else own.not_valid_after_utc
    broken = _broken_link(path, moment)
    if broken:
        return Judgement("failed", broken)
    strange = _turned_down(path, moment)
    if strange:
        return Judgement("unknown", f"it leads to an authority of the system, but not as is usual: {quoted(strange)}")
    return Judgement("passed", f"issued by {_whose(own.issuer)}")


def _broken_link(path: Sequence[Certificate], moment: datetime) -> str:
    """Say which certificate was not signed by the next, or by one that may sign none; "" for a path that holds."""
    from cryptography.exceptions import InvalidSignature

    for child, issuer in pairwise(path):
        try:
            child.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            return f"{_whose(child.subject)} was not signed by the issuer that it names"
        if not _is_authority(issuer):
            return f"{_whose(issuer.subject)}, its issuer, is no authority"
        if not issuer.not_valid_before_utc <= moment <= issuer.not_valid_after_utc:
            return f"{_whose(issuer.subject)}, its issuer, ended on {issuer.not_valid_after_utc:%Y-%m-%d}"
    return ""


def _is_authority(one: Certificate) -> bool:
    from cryptography import x509

    try:
        return one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return one.version is x509.Version.v1  # a root from before there were extensions


def _turned_down(path: Sequence[Certificate], moment: datetime) -> str:
    """Say why the library's verifier turns a path down, whatever its extensions say; "" when it does not."""
    from cryptography.x509 import BasicConstraints, verification

    anything = verification.ExtensionPolicy.permit_all()
    authority = anything.require_present(BasicConstraints, verification.Criticality.AGNOSTIC, None)
    builder = verification.PolicyBuilder().store(verification.Store([path[-1]])).time(moment)
    verifier = builder.extension_policies(ca_policy=authority, ee_policy=anything).build_client_verifier()
    try:
        verifier.verify(path[0], list(path[1:-1]))
    except verification.VerificationError as error:
        return str(error) or "no reason given"
    return ""


def _whose(name: object) -> str:
    text = getattr(name, "rfc4514_string", str)()
    return quoted(text) or "(no name)"
