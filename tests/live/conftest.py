"""Every test below needs root and namespaces of its own; the `lab` fixture is where they stand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.lab import Lab
from tests.live.site import start_objectos

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.live)


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as laboratory:
        yield laboratory


@pytest.fixture
def site(lab: Lab) -> Lab:
    """A laboratory with an ObjectOS in it that `tests.live.site.policy` approves."""
    start_objectos(lab)
    return lab
