"""Reads the reference of a container image: its tag, its digest, and whether what it stands for may change.

Source: the distribution project's reference grammar (``[domain/]path[:tag][@digest]``).
"""

from __future__ import annotations

import re
from typing import NamedTuple

_REFERENCE = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[\w.:/-]*?\w)??)(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>[a-z0-9+._-]+:[0-9a-fA-F]{32,}))?\Z"
)
_LENGTH = 4096
# Tags that by habit are moved: what they stand for today says nothing of tomorrow.
_MOVING_WORDS = """
    latest stable edge main master dev develop nightly next current release lts canary beta alpha rc prod production
    staging snapshot head trunk unstable rolling
"""
_MOVING = frozenset(_MOVING_WORDS.split())


class Reference(NamedTuple):
    """The parts of a reference; ``name`` holds the registry."""

    name: str
    tag: str | None
    digest: str | None

    def is_floating(self) -> bool:
        """Tell whether the reference names something that moves: no tag (latest), or a tag that is a habit."""
        return self.digest is None and (self.tag is None or self.tag.lower() in _MOVING)


def parse(text: str) -> Reference | None:
    """Split a reference; None when it is none, such as a template that was not filled in."""
    if len(text) > _LENGTH:
        return None
    found = _REFERENCE.match(text.strip().removeprefix("docker://").removeprefix("docker-daemon:"))
    return Reference(found["name"], found["tag"], found["digest"]) if found else None
