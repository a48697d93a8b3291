"""What is signed: an in-toto Statement v1 with a test-result (v0.1) in a DSSE envelope (v1: PAE, here Ed25519).

An archive that nobody signs has the statement alone: an envelope needs a signature.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Literal

import msgspec

from airgap_check.archive.form import JUDGEMENT, MANIFEST, POLICY, RULES, BadArchiveError
from airgap_check.archive.manifest import digest
from airgap_check.release import seal

if TYPE_CHECKING:
    from airgap_check.archive.manifest import Manifest
    from airgap_check.release.seal import PrivateKey, PublicKey

_PAYLOAD_TYPE = "application/vnd.in-toto+json"


class Descriptor(msgspec.Struct, frozen=True, kw_only=True):
    """A resource by name and digest."""

    name: str
    digest: dict[str, str]


class TestResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The predicate ``https://in-toto.io/attestation/test-result/v0.1``."""

    result: Literal["PASSED", "WARNED", "FAILED"]
    configuration: tuple[Descriptor, ...]
    passed_tests: tuple[str, ...]
    warned_tests: tuple[str, ...]
    failed_tests: tuple[str, ...]


class Statement(
    msgspec.Struct, frozen=True, kw_only=True, rename={"type_": "_type", "predicate_type": "predicateType"}
):
    """The statement: what holds of which digests."""

    type_: Literal["https://in-toto.io/Statement/v1"] = "https://in-toto.io/Statement/v1"
    subject: tuple[Descriptor, ...]
    predicate_type: Literal["https://in-toto.io/attestation/test-result/v0.1"] = (
        "https://in-toto.io/attestation/test-result/v0.1"
    )
    predicate: TestResult


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signature; ``keyid`` is the fingerprint of the key."""

    keyid: str
    sig: str


class Envelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A DSSE envelope."""

    payload: str
    payload_type: str
    signatures: tuple[Signature, ...]


def of(manifest: Manifest, content: bytes) -> bytes:
    """Return the statement about a manifest and all that it lists; ``content`` are the manifest's bytes.

    in-toto calls *warned* what passed with a warning. So an inconclusive run is FAILED, as one with a violation is:
    whoever asks for PASSED or WARNED must not be given what nobody could see.
    """
    subject = [_describe(item.name, item.sha256) for item in manifest.members]
    configuration = [one for one in subject if one.name in {POLICY, JUDGEMENT} or one.name.startswith(RULES)]
    result: Literal["PASSED", "WARNED", "FAILED"] = "FAILED"
    if manifest.verdict == "compliant":
        result = "WARNED" if manifest.warned else "PASSED"
    statement = Statement(
        subject=(*subject, _describe(MANIFEST, digest(content))),
        predicate=TestResult(
            result=result,
            configuration=tuple(configuration),
            passed_tests=manifest.passed,
            warned_tests=manifest.warned,
            failed_tests=manifest.failed,
        ),
    )
    return msgspec.json.encode(statement)


def _describe(name: str, sha256: str) -> Descriptor:
    return Descriptor(name=name, digest={"sha256": sha256})


def encoded(payload: bytes) -> bytes:
    """Return the bytes of the member that holds a statement without a signature."""
    return payload + b"\n"


def pae(payload: bytes) -> bytes:
    """Return what is signed: DSSE's pre-authentication encoding."""
    kind = _PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(key: PrivateKey, payload: bytes) -> bytes:
    """Return the envelope around a statement, as it lies in the archive."""
    signature = seal.sign(key, pae(payload))
    return _envelope(payload, seal.fingerprint(key.public_key()), signature)


def _envelope(payload: bytes, keyid: str, signature: bytes) -> bytes:
    envelope = Envelope(
        payload=_base64(payload),
        payload_type=_PAYLOAD_TYPE,
        signatures=(Signature(keyid=keyid, sig=_base64(signature)),),
    )
    return msgspec.json.encode(envelope) + b"\n"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def check_envelope(content: bytes, payload: bytes, key: PublicKey) -> None:
    """Check that an envelope is around this statement, and signed once, by this key. Raises `BadArchiveError`."""
    try:
        envelope = msgspec.json.decode(content, type=Envelope)
        signatures = [base64.b64decode(one.sig, validate=True) for one in envelope.signatures]
        held = base64.b64decode(envelope.payload, validate=True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, binascii.Error, ValueError) as error:
        raise BadArchiveError(f"no DSSE envelope: {str(error).replace('`', '')}") from error
    if envelope.payload_type != _PAYLOAD_TYPE or held != payload:
        raise BadArchiveError("the envelope holds another statement than the one about this manifest")
    wrong = [one.keyid for one, signature in zip(envelope.signatures, signatures, strict=True)
             if not seal.is_signed(key, pae(payload), signature)]  # fmt: skip
    if len(signatures) != 1:
        whose = f"; those of {', '.join(wrong)} do not verify" if wrong else ""
        raise BadArchiveError(f"the envelope has {len(signatures)} signatures instead of one{whose}")
    if wrong:
        raise BadArchiveError(f"the signature does not verify: {wrong[0]} did not sign this")
    if content != _envelope(payload, seal.fingerprint(key), signatures[0]):
        raise BadArchiveError("the envelope is not written as we write it")
