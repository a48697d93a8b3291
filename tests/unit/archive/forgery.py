"""Archives as a forger writes them: every digest is right, and what they say is not what was written."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from airgap_check.archive import form, manifest, statement, zipped
from airgap_check.archive.form import Member
from airgap_check.archive.manifest import Content, Listed, Manifest
from airgap_check.archive.opening import Archive

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from airgap_check.release.seal import PrivateKey


def contents(path: Path) -> tuple[dict[str, bytes], Manifest]:
    """Return the members and the manifest of a zip archive."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    listed = manifest.parse(held.pop(form.MANIFEST))
    held.pop(form.STATEMENT, None)
    held.pop(form.ENVELOPE, None)
    return held, listed


def forge(
    path: Path,
    held: Mapping[str, bytes],
    listed: Manifest,
    *,
    key: PrivateKey | None = None,
    unlisted: frozenset[str] = frozenset(),
    told: tuple[str, bytes] | None = None,
    **changes: Any,
) -> str:
    """Write these members with a manifest that fits them, but for what was to be changed in it."""
    writer = zipped.Writer(zipped.Stamp.of(listed.finished), str(path.parent))
    members = [Member(name, lambda name=name: (held[name],)) for name in sorted(held)]  # type: ignore[misc]
    body = b"".join(writer.body(members))
    entries = tuple(
        Listed(name=one.name, size=one.size, sha256=one.sha256) for one in writer.entries if one.name not in unlisted
    )
    made = replace(listed, members=entries, body=Content(size=len(body), sha256=sha256(body).hexdigest()))
    made = replace(made, **changes)
    content = made.encoded()
    payload = statement.of(made, content)
    said = (form.ENVELOPE, statement.sign(key, payload)) if key else (form.STATEMENT, statement.encoded(payload))
    path.write_bytes(body + writer.tail([(form.MANIFEST, content), told or said]))
    with path.open("rb") as file:
        Archive(str(path), file).read()
    return manifest.digest(content)
