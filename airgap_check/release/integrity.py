"""Compares a bundle with its seal: every file as it was listed, nothing more, nothing less, signed by whom we trust."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.errors import UsageError
from airgap_check.release import checksums, seal
from airgap_check.release.remark import check, either

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airgap_check.evidence.asset import Check
    from airgap_check.release.folder import Folder
    from airgap_check.release.seal import PublicKey

_THREADS = 4
_MOST_FAULTS = 50  # of a kind that are told one by one


class Digested(NamedTuple):
    """Digests by name, None where a file could not be read; ``failures`` say why."""

    digests: dict[str, str | None]
    failures: list[str]


def digests(folder: Folder, names: Sequence[str], deadline: float | None) -> Digested:
    """Digest files side by side, and links as what they lead to."""
    failures: list[str] = []

    def digest(name: str) -> str | None:
        member = folder.members[name]
        target = folder.led_to(member) if member.kind == "link" else name
        try:
            return folder.digest(target, deadline) if target else None
        except OSError as error:
            failures.append(f"{name}: {error.strerror}")
            return None

    with ThreadPoolExecutor(_THREADS) as workers:
        return Digested(dict(zip(names, workers.map(digest, names), strict=True)), failures)


def sealable(folder: Folder) -> list[str]:
    """Name what a seal covers: all but itself. Raises `UsageError` for what cannot be sealed."""
    odd = [f"{entry.subject}: {entry.detail}" for entry in entries(folder) if entry.outcome == "failed"]
    if folder.failures or odd:
        raise UsageError("\n".join(f"cannot seal this: {text}" for text in [*folder.failures, *odd]))
    return [name for name in folder.members if name not in {checksums.NAME, checksums.SIGNATURE}]


def entries(folder: Folder) -> Iterator[Check]:
    """Say of everything that is no regular file why it has no business in a bundle."""
    odd = 0
    for name, member in folder.members.items():
        if member.kind == "special":
            odd += 1
            yield check("special-file", name, "failed", "is a pipe, a socket or a device", path=name)
        elif member.kind == "link" and folder.led_to(member) is None:
            odd += 1
            yield check("link-out", name, "failed", f"leads to {member.target}, which is no file in here", path=name)
    if not odd:
        yield check("link-out", "files", "passed", "no link leads out")
        yield check("special-file", "files", "passed", "all are regular")


def checked(folder: Folder, key: PublicKey | None, deadline: float | None) -> tuple[list[Check], list[str]]:
    """Check a bundle against its checksums file and signature; also return what could not be read."""
    name = next((name for name in checksums.NAMES if name in folder.files), None)
    if name is None:
        detail = "no checksums file: what was changed on the way here cannot be told"
        found = [check("checksums-present", checksums.NAME, "failed", detail)]
        if key is not None:
            found.append(check("signature-present", checksums.SIGNATURE, "failed", "nothing is signed"))
        elif checksums.SIGNATURE in folder.files:
            detail = f"was signed, as {checksums.SIGNATURE} shows, and is not here"
            found.append(check("listed-file", checksums.NAME, "failed", detail))
        return found, []
    failures: list[str] = []
    content = _content(folder, name, checksums.LIMIT, failures)
    if content is None:
        return [], failures
    found = [check("checksums-present", name, "passed", path=name), *_signature(folder, name, content, key, failures)]
    listed = checksums.parse(content)
    found += [
        check("checksums-malformed", name, "failed", text, path=name, line=line)
        for line, text in listed.faults[:_MOST_FAULTS]
    ]
    if not listed.faults:
        detail = f"{len(listed.digests)} files are listed"
        found.append(check("checksums-malformed", name, "passed", detail, path=name))
    names = [member for member in folder.members if member not in {name, f"{name}.sig"}]
    readable = [member for member in names if _has_content(folder, member)]
    present = digests(folder, readable, deadline)
    found += _compared(listed, present.digests)
    return found, [*failures, *present.failures]


def _has_content(folder: Folder, name: str) -> bool:
    member = folder.members[name]
    return member.kind == "file" or (member.kind == "link" and folder.led_to(member) is not None)


def _content(folder: Folder, name: str, limit: int, failures: list[str]) -> bytes | None:
    try:
        with os.fdopen(folder.open(name), "rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        failures.append(f"{name}: {error.strerror}")
        return None
    if len(content) > limit:
        failures.append(f"{name}: larger than {limit:,} bytes")
        return None
    return content


def _signature(
    folder: Folder, name: str, content: bytes, key: PublicKey | None, failures: list[str]
) -> Iterator[Check]:
    signature = f"{name}.sig"
    if signature not in folder.files:
        if key is not None:
            yield check("signature-present", signature, "failed", f"{name} has no signature beside it")
        return
    if key is None:
        yield check("signature-verified", signature, "unknown", "give the public key with --key PUB", path=signature)
        return
    yield check("signature-present", signature, "passed", path=signature)
    written = _content(folder, signature, 1 << 16, failures)
    if written is not None:
        good = seal.is_signed(key, content, written)
        detail = f"{'was' if good else 'was not'} made over {name} with the key {seal.fingerprint(key)}"
        yield check("signature", signature, either(good), detail, path=signature)


def _compared(listed: checksums.Listed, present: dict[str, str | None]) -> Iterator[Check]:
    compared = checksums.compare(listed.digests, present)
    kinds = {
        "checksum": (compared.changed, "is not what was sealed", "every file that could be read is as it was listed"),
        "listed-file": (compared.missing, "was sealed and is not here", "every file that was listed is here"),
        "unlisted-file": (compared.unlisted, "was not there when the bundle was sealed", "nothing was added"),
    }
    for aspect, (names, wrong, right) in kinds.items():
        for name in names[:_MOST_FAULTS]:
            yield check(aspect, name, "failed", wrong, path=name)
        if len(names) > _MOST_FAULTS:
            yield check(aspect, "others", "failed", f"and {len(names) - _MOST_FAULTS:,} more files")
        if not names:
            yield check(aspect, "files", "passed", right)
