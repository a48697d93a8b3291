"""The names of images as people write them: ``registry:port/path/name:tag@digest``.

After the grammar of the distribution project (`reference/reference.go`), without the regular expression.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_LONGEST = 255 + 1 + 128 + 1 + 135  # name, tag, digest
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*\Z")
_REGISTRY = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z")


class Reference(NamedTuple):
    """A reference in its parts; an empty part was not written."""

    registry: str
    repository: str
    tag: str
    digest: str


def parse(text: str) -> Reference | None:
    """Read a reference; None for what is none."""
    if len(text) > _LONGEST:
        return None
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.match(digest):
        return None
    first, slash, _ = rest.partition("/")
    registry = first if slash and (first == "localhost" or any(mark in first for mark in ".:")) else ""
    if registry and not _REGISTRY.match(registry):
        return None
    path = rest.removeprefix(f"{registry}/") if registry else rest
    repository, colon, tag = path.partition(":")
    if (colon and not _TAG.match(tag)) or not all(_COMPONENT.match(part) for part in repository.split("/")):
        return None
    return Reference(registry, repository, tag, digest)


def is_tag(text: str) -> bool:
    """Tell whether this may be a tag alone, as some writers name an image of a layout."""
    return _TAG.match(text) is not None


def fits(full: str, familiar: str) -> bool:
    """Tell whether a full name, or a tag alone, may mean the image that Docker shows by a shorter name."""
    return full == familiar or full.endswith(f"/{familiar}") or (is_tag(full) and familiar.endswith(f":{full}"))
