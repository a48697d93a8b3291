"""Reads an archive and checks all of it that needs no other archive and no judgement: structure, digests, signature."""

from __future__ import annotations

from hashlib import sha256
from typing import IO, TYPE_CHECKING, NamedTuple

from airgap_check import recording
from airgap_check.archive import form, manifest, statement, tarred, zipped
from airgap_check.archive.form import BadArchiveError, Entry, Measured
from airgap_check.archive.manifest import Content, Manifest
from airgap_check.errors import InvalidFileError
from airgap_check.release import seal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airgap_check.evidence.inspection import Inspection
    from airgap_check.release.seal import PublicKey

_REQUIRED = frozenset(
    {form.EVIDENCE, form.REPORT, form.JUDGEMENT, form.POLICY, form.COVERAGE, form.SELF_TEST, form.TOOL}
)


class Held(NamedTuple):
    """What an archive holds: the contents but that of the evidence, and the two that follow the body."""

    contents: Mapping[str, bytes]
    entries: tuple[Entry, ...]
    body: Content
    manifest: bytes
    told: tuple[str, bytes]


class Archive:
    """An archive that is open. Each method does one step of a verification, and raises `BadArchiveError`."""

    def __init__(self, path: str, file: IO[bytes]) -> None:
        """Take a file. Raises `BadArchiveError` for one that is no archive at all, `UsageError` without zstandard."""
        kind = form.sniff(file)
        if kind is None:
            raise BadArchiveError("no archive: it does not begin as .zip or .tar.zst do")
        if kind == "tar.zst":
            form.require_zstandard(path)
        self._path, self._file, self._kind = path, file, kind
        self._reader = self._new_reader()

    def _new_reader(self) -> zipped.Reader | tarred.Reader:
        return zipped.Reader(self._file) if self._kind == "zip" else tarred.Reader(self._file)

    def read(self) -> Held:
        """Read all of it once, and see that every byte is where and what it has to be."""
        contents: dict[str, bytes] = {}
        entries: list[Entry] = []
        for name, pieces in self._reader.members():
            measured = Measured(name, pieces)
            if name == form.EVIDENCE:
                for _ in measured:
                    pass
            else:
                contents[name] = b"".join(measured)
            entries.append(measured.entry())
            form.check_together(entries)
        (name, content), told = self._reader.tail()
        if name != form.MANIFEST or told[0] not in {form.STATEMENT, form.ENVELOPE}:
            raise BadArchiveError(f"{name} and {told[0]} instead of manifest and statement")
        size = self._reader.offset
        return Held(contents, tuple(entries), Content(size=size, sha256=self._digest(size)), content, told)

    def _digest(self, size: int) -> str:
        """Return the digest of the first bytes of the file."""
        self._file.seek(0)
        whole = sha256()
        while size and (piece := self._file.read(min(size, form.CHUNK))):
            whole.update(piece)
            size -= len(piece)
        return whole.hexdigest()

    def listed(self, held: Held) -> Manifest:
        """Compare the manifest with what there is."""
        listed = manifest.parse(held.manifest)
        there = {entry.name: entry for entry in held.entries}
        wanted = {item.name: Entry(item.name, item.size, item.sha256) for item in listed.members}
        faults = [f"{name} is missing" for name in sorted((wanted.keys() | _REQUIRED) - there.keys())]
        faults += [f"{name} is not in the manifest" for name in sorted(there.keys() - wanted.keys())]
        if len(wanted) != len(listed.members):
            faults.append("the manifest lists a member twice")
        for name in sorted(there.keys() & wanted.keys()):
            if there[name] != wanted[name]:
                faults.append(f"{name} is not what the manifest says: another content")
        if not faults and held.body != listed.body:
            faults.append("the members are packed otherwise than the manifest says")
        if not self._reader.is_stamped(listed.finished):
            faults.append("the time of the members is not that of the run")
        if (listed.previous is None) != (listed.sequence in {0, 1}) or listed.sequence < 0:
            faults.append(f"number {listed.sequence} of a chain cannot follow {listed.previous or 'nothing'}")
        if faults:
            raise BadArchiveError("; ".join(faults[:10]) + (f"; and {len(faults) - 10} more" if faults[10:] else ""))
        return listed

    def stated(self, held: Held, listed: Manifest) -> str:
        """Compare the statement with the manifest, and the signature with the key that the manifest names.

        Returns the fingerprint of that key, nothing where nobody signed.
        """
        payload = statement.of(listed, held.manifest)
        name, content = held.told
        if listed.signer is None:
            if name != form.STATEMENT:
                raise BadArchiveError("there is a signature, and a manifest that names nobody who signs")
            if content != statement.encoded(payload):
                raise BadArchiveError("the statement is not the one about this manifest")
            return ""
        if name != form.ENVELOPE:
            raise BadArchiveError(
                f"the manifest says that {listed.signer.fingerprint} signs, and the signature is missing"
            )
        key = _public(listed)
        statement.check_envelope(content, payload, key)
        return listed.signer.fingerprint

    def evidence(self, listed: Manifest) -> Inspection:
        """Read the evidence once more, now that its digest is known to be right."""
        return recording.parse(f"{self._path}:{form.EVIDENCE}", _lines(self._evidence(listed)))

    def header(self, listed: Manifest) -> bytes:
        """Return the first line of the evidence."""
        return next(_lines(self._evidence(listed)), b"")

    def _evidence(self, listed: Manifest) -> Iterator[bytes]:
        wanted = next(item for item in listed.members if item.name == form.EVIDENCE)
        for name, pieces in self._new_reader().members():
            if name != form.EVIDENCE:
                for _ in pieces:
                    pass
                continue
            measured = Measured(name, pieces)
            yield from measured
            if measured.entry() != Entry(wanted.name, wanted.size, wanted.sha256):
                raise BadArchiveError("the file changed while it was read")
            return


def _public(listed: Manifest) -> PublicKey:
    """Return the key that the manifest names."""
    assert listed.signer is not None
    try:
        key = seal.raw_public_key(listed.signer.raw())
    except ValueError as error:
        raise BadArchiveError("the manifest names a key that is none") from error
    if seal.fingerprint(key) != listed.signer.fingerprint:
        raise BadArchiveError("the manifest names a key, and the fingerprint of another one")
    return key


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Cut pieces into lines, each with its end; one that is too long comes in parts, which nobody takes for lines."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in lines)
        if len(rest) > recording.LINE_LIMIT:
            yield rest
            rest = b""
    if rest:
        yield rest


def checked(path: str, file: IO[bytes]) -> tuple[Archive, Held, Manifest]:
    """Open an archive that is whole. Raises `UsageError` for a broken one."""
    try:
        archive = Archive(path, file)
        held = archive.read()
        listed = archive.listed(held)
        archive.stated(held, listed)
    except BadArchiveError as error:
        raise InvalidFileError([f"{path}: does not verify: {error}"]) from error
    return archive, held, listed
