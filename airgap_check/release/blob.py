"""The members of an archive or layout after they have passed: how large, with what digest, and what they hold.

In an archive the documents that say what a member is may come last, so every member is looked at for what it is.
"""

from __future__ import annotations

import os
import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.release import archive, layer
from airgap_check.release.flow import Digest, Flow, packing, part, unpacked
from airgap_check.release.trouble import BrokenError, HostileError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from airgap_check.release.folder import Folder
    from airgap_check.release.layer import Contents
    from airgap_check.release.trouble import Ledger

LARGEST_DOCUMENT = 4 << 20  # bytes; what registries and runtimes accept as a manifest
_MOST_KEPT = 64 << 20  # bytes of all documents
_MOST_MEMBERS = 100_000
_MOST_LINKS = 16

BLOBS = "blobs/"
ALGORITHMS = {"sha256": 64, "sha512": 128}  # OCI image-spec, descriptor.md: the registered ones, and their hex digits
_BLOB = re.compile(r"blobs/([a-z0-9+._-]+)/([^/]+)")
_OF_A_LAYOUT = re.compile(r"(?:blobs(?:/.*)?|index\.json|oci-layout)\Z")


class Unpacked(NamedTuple):
    """What a compressed or plain archive among the members holds, that is, a layer.

    ``fault`` says why it is no sound archive, ``unread`` why it was not examined; ``diff_id`` is None then.
    """

    packing: str
    diff_id: str | None = None
    contents: Contents | None = None
    fault: str = ""
    unread: str = ""


class Blob(NamedTuple):
    """A member; ``document`` holds its bytes where it may be a JSON document that is not too large to be one."""

    name: str
    size: int
    digest: str
    document: bytes | None = None
    layer: Unpacked | None = None


class Inventory:
    """All members that were accepted, by name. ``whole`` is False where reading broke off."""

    def __init__(self, ledger: Ledger, workers: tuple[Executor | None, Executor | None] = (None, None)) -> None:
        """Take what is wrong into the ledger; the workers hash what is stored, and what is packed in it."""
        self.blobs: dict[str, Blob] = {}
        self.links: dict[str, str] = {}
        self.whole = True
        self._ledger = ledger
        self._workers = workers
        self._kept = 0
        self._in_layers = 0

    def fill(self, flow: Flow) -> None:
        """Take the members of a tar archive. Raises `ExpiredError`."""
        try:
            for member in archive.members(flow, marked=True):
                name = layer.clean(member.name)
                if self._accepts(member.name, name, member.kind, member.target):
                    self.take(name, Flow(part(flow, member.size)), member.size)
        except BrokenError as error:
            self.whole = False
            self._ledger.fail("image-malformed", "the archive", str(error))
        except HostileError as error:
            self.whole = False
            self._ledger.fail("hostile-archive", "the archive", str(error))
        self._check_detours()

    def _accepts(self, written: str, name: str, kind: str, target: str) -> bool:
        """Tell whether a member is a plain file to look at; links are noted, and what is hostile is refused by name."""
        why = _why_refused(written, name, kind, target)
        if not why and kind != "folder" and (name in self.blobs or name in self.links):
            why = "stands there twice, so that readers do not agree on its content"
        if not why and len(self.blobs) + len(self.links) >= _MOST_MEMBERS:
            raise HostileError(f"more than {_MOST_MEMBERS:,} members")
        if why:
            self._ledger.fail("hostile-archive", written, why)
            return False
        if kind in {"link", "hardlink"}:
            self.links[name] = _target(name, kind, target)
        return kind == "file"

    def fill_from(self, folder: Folder) -> None:
        """Take the files of a layout; what else lies in its folder is not ours. Raises `ExpiredError`."""
        for failure in folder.failures:
            self._ledger.stop(failure)
        for member in folder.members.values():
            if not _OF_A_LAYOUT.match(member.name):
                continue
            try:
                if self._accepts(member.name, member.name, member.kind, member.target):
                    with os.fdopen(folder.open(member.name), "rb", buffering=0) as file:
                        self.take(member.name, Flow(file.read), member.size)
            except OSError as error:
                self.whole = False
                self._ledger.stop(f"{member.name}: {error.strerror}")
            except HostileError as error:
                self.whole = False
                self._ledger.fail("hostile-archive", "the folder", str(error))
                return

    def _check_detours(self) -> None:
        for name in (*self.blobs, *self.links):
            folders = name.split("/")[:-1]
            if any("/".join(folders[: depth + 1]) in self.links for depth in range(len(folders))):
                self._ledger.fail("hostile-archive", name, "would be written through a link")

    def take(self, name: str, source: Flow, size: int) -> None:
        """Take one member, of which a flow gives the content. Raises `ExpiredError`."""
        self._ledger.check_time()
        algorithm = _algorithm(name)
        flow = Flow(self._timed(source), Digest(algorithm, self._workers[0]))
        head = flow.peek(archive.BLOCK)
        document, held = None, None
        how = packing(head)
        if how or archive.looks_like(head):
            held = self._unpack(name, flow, how)
        elif head.lstrip()[:1] in (b"{", b"[") and size <= LARGEST_DOCUMENT and self._kept + size <= _MOST_KEPT:
            document = flow.read(size)
            self._kept += size
        flow.drain()
        if flow.size == size:  # else the archive ends here, and says so next
            digest = f"{algorithm}:{flow.hexdigest()}"
            if held and not how and not held.unread and algorithm == "sha256":
                held = held._replace(diff_id=digest)
            self.blobs[name] = Blob(name, size, digest, document, held)

    def _timed(self, source: Flow) -> Callable[[int], bytes]:
        def pull(most: int) -> bytes:
            self._ledger.check_time()
            return source.some(most)

        return pull

    def _unpack(self, name: str, flow: Flow, how: str) -> Unpacked:
        """Walk through an archive that is a member; what it was made of is passed over to its end in any case."""
        digest = Digest("sha256", self._workers[1]) if how else None
        content = Flow(unpacked(flow, how), digest)
        fault, contents = "", None
        try:
            try:
                if how and not archive.looks_like(content.peek(archive.BLOCK)):
                    fault = "holds no archive"
                else:
                    contents = layer.walk(content, lambda member, why: self._refuse(name, member, why), self._count)
            except BrokenError as error:
                fault = str(error)
            content.drain()
        except BrokenError as error:
            return Unpacked(how, fault=str(error))
        except HostileError as error:
            self._ledger.fail("hostile-archive", name, str(error))
            return Unpacked(how, unread="was refused as hostile")
        except ImportError:
            return Unpacked(how, unread="is compressed by zstd: install airgap-check[images]")
        return Unpacked(how, f"sha256:{content.hexdigest()}" if how else None, contents, fault)

    def _refuse(self, name: str, member: str, why: str) -> None:
        self._ledger.fail("hostile-archive", f"{name}: {member}", why)

    def _count(self) -> None:
        self._in_layers += 1
        if self._in_layers > layer.MOST_MEMBERS:
            raise HostileError(f"more than {layer.MOST_MEMBERS:,} files in layers")

    def find(self, name: str) -> Blob | None:
        """Return the member of a name, links followed; None where there is none."""
        for _ in range(_MOST_LINKS):
            if name not in self.links:
                break
            name = self.links[name]
        return self.blobs.get(name)

    def check_names(self) -> set[str]:
        """Compare the digest of each blob with its name, and return the names that lie."""
        lying = set()
        for blob in self.blobs.values():
            match = _BLOB.fullmatch(blob.name)
            if not match:
                continue
            algorithm, digits = match.groups()
            if algorithm not in ALGORITHMS:
                self._ledger.add("image-blob", "unknown", blob.name, f"{algorithm} is a digest that we cannot compute")
            elif blob.digest != f"{algorithm}:{digits}":
                lying.add(blob.name)
                self._ledger.fail("image-blob", blob.name, f"its content has the digest {blob.digest}")
        return lying


def _algorithm(name: str) -> str:
    match = _BLOB.fullmatch(name)
    return match[1] if match and match[1] in ALGORITHMS else "sha256"


def _target(name: str, kind: str, target: str) -> str:
    """Return the name that a link means: a symlink starts at its own folder, a hard link at the root."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name) if kind == "link" else "", target))


def _why_refused(written: str, name: str, kind: str, target: str) -> str:
    """Say why whoever unpacks an archive should not meet this member."""
    if any(ord(character) < 32 or ord(character) == 127 for character in written + target):
        return "holds control characters"
    if written.startswith("/"):
        return "is an absolute name"
    if ".." in name.split("/"):
        return "climbs out of the archive"
    if kind in {"link", "hardlink"}:
        inside = _target(name, kind, target)
        if target.startswith("/") or inside == ".." or inside.startswith("../"):
            return f"is a link that leads out of the archive, to {target}"
        return "" if name else "is a link in place of the archive itself"
    if kind not in {"file", "folder"}:
        return f"is no file but a {kind} device" if kind in {"character", "block"} else f"is no file but {kind}"
    return "" if name or kind == "folder" else "has no name"
