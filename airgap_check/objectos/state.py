"""Knows what a runtime keeps in its state folders: packages, its tie to a cloud, credentials, cached artifacts.

Source: @objectstack/cloud-connection 17.4 (local-manifest-source, connection-credential-store), @objectstack/runtime
(artifact-reference), @objectstack/cli (cloud-config, auth-config).
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

import msgspec

from airgap_check.redact import printable, url

PACKAGES = "installed-packages"
CONNECTION = "cloud-connection.json"
CREDENTIALS = ("cloud.json", "credentials.json")
CACHE = "artifacts"
DECODED = 32 << 20  # bytes of an installed package that are decoded whole, to digest its manifest
_LENGTH = 200
_PINNED = re.compile(r"sha256-([0-9a-f]{64})\.json\Z")
_PIN = re.compile(r"#sha256=([0-9A-Fa-f]{64})\Z")


class Entry(NamedTuple):
    """What a file of an installed package says of itself; ``identities`` are all the names that it goes by."""

    id: str
    version: str | None
    sha256: str | None
    identities: tuple[str, ...]
    problem: str = ""


def entry(content: bytes, name: str) -> Entry:
    """Read a file of `installed-packages`, ``name`` being its own; what is missing or malformed is its problem."""
    stem = _shown(name.removesuffix(".json"))
    try:
        whole = msgspec.json.decode(content, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError) as error:
        return Entry(stem, None, None, (), f"is not a package: {printable(str(error))[:_LENGTH]}")
    manifest = whole.get("manifest")
    if not isinstance(manifest, dict):
        return Entry(stem, None, None, (), "holds no manifest")
    inner = manifest.get("manifest")
    given = [whole.get("manifestId"), manifest.get("id"), inner.get("id") if isinstance(inner, dict) else None]
    identities = tuple(dict.fromkeys(text for text in given if isinstance(text, str) and text))
    first = next(iter(identities), None) or _text(whole.get("packageId")) or stem
    return Entry(
        id=_shown(first),
        version=_shown(_text(whole.get("version")) or _text(manifest.get("version")) or "") or None,
        sha256=digest(manifest),
        identities=tuple(map(_shown, identities)),
    )


def digest(manifest: object) -> str | None:
    """Return the SHA-256 of a value in canonical JSON: keys sorted by code point, no blanks, UTF-8.

    None for what has no such form, as numbers beyond 64 bits.
    """
    try:
        return hashlib.sha256(msgspec.json.encode(manifest, order="sorted")).hexdigest()
    except (OverflowError, ValueError, RecursionError):
        return None


def file_name(identity: str) -> str:
    """Return the name under which the runtime stores a package (`safeFilename`)."""
    return re.sub(r"[^a-zA-Z0-9._-]", "_", identity) + ".json"


class Binding(NamedTuple):
    """What a file with credentials says: which cloud or runtime they are for, and whether there are any."""

    place: str
    credential: bool


def binding(content: bytes) -> Binding | None:
    """Read `cloud-connection.json`, `cloud.json` or `credentials.json`, without the credential; None when malformed."""
    try:
        whole = msgspec.json.decode(content, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError):
        return None
    place = next((text for name in ("controlPlaneUrl", "url", "baseUrl") if (text := _text(whole.get(name)))), "")
    return Binding(_shown(url(place)), any(_text(whole.get(name)) for name in ("runtimeToken", "token", "accessToken")))


def pinned_digest(name: str) -> str | None:
    """Return the digest that the name of a cached artifact promises; None for names that promise none."""
    match = _PINNED.match(name)
    return match[1] if match else None


def pin(url_of_artifact: str) -> str | None:
    """Return the digest that a value of `OS_ARTIFACT_URL` pins, in lower case; the runtime refuses a malformed one."""
    match = _PIN.search(url_of_artifact.strip())
    return match[1].lower() if match else None


def _text(something: object) -> str | None:
    return something if isinstance(something, str) else None


def _shown(text: str) -> str:
    return printable(text[: _LENGTH * 4])[:_LENGTH]
