"""The world on loopback, for every test below."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airgap_check.world import greeting
from tests.unit.world.beyond import Beyond, authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take nobody for one that waits to be greeted who was only held up by a busy machine."""
    monkeypatch.setattr(greeting, "PATIENCE", 60.0)


@pytest.fixture
def beyond() -> Iterator[Beyond]:
    with Beyond() as world:
        yield world
    assert not [met for met in world.met() if "world" in met.ended and "failed" in met.ended]
    assert not [reason for reason in world.troubles() if "failed" in reason]


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    """The path of the file that a client is given to trust the world."""
    path = tmp_path / "ca.pem"
    path.write_bytes(authority().certificate)
    return str(path)
