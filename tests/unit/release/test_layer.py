"""Layers upon each other: what can be seen in the end, and what nobody should unpack."""

from __future__ import annotations

import io

import pytest

from airgap_check.release import layer
from airgap_check.release.delivered import Packaged
from airgap_check.release.flow import Flow
from tests.live.images import MODULES, Entry, package, tar
from tests.unit.release.test_archive import END, header

PG = f"{MODULES}/pg/package.json"


def walk(content: bytes) -> tuple[layer.Contents, dict[str, str]]:
    refused: dict[str, str] = {}
    contents = layer.walk(Flow(io.BytesIO(content).read), refused.__setitem__, lambda: None)
    return contents, refused


def versions(*layers: list[Entry]) -> dict[str, str | None]:
    return {found.path: found.version for found in layer.merged(walk(tar(entries))[0] for entries in layers)}


BASE: list[Entry] = [(PG, package("pg", "8.11.0")), (f"{MODULES}/mysql2/package.json", package("mysql2", "3.9.0"))]


@pytest.mark.parametrize(
    ("above", "seen"),
    [
        ([], {"pg": "8.11.0", "mysql2": "3.9.0"}),
        ([(PG, package("pg", "9.0.0"))], {"pg": "9.0.0", "mysql2": "3.9.0"}),
        ([(f"{MODULES}/pg/.wh.package.json", b"")], {"mysql2": "3.9.0"}),
        ([(f"{MODULES}/.wh.pg", b"")], {"mysql2": "3.9.0"}),
        ([("usr/.wh.local", b"")], {}),
        ([(".wh.usr", b"")], {}),
        ([(f"{MODULES}/.wh..wh..opq", b"")], {}),
        ([(".wh..wh..opq", b"")], {}),
        ([(f"{MODULES}/pg/.wh..wh..opq", b"")], {"mysql2": "3.9.0"}),
        ([(f"./{MODULES}/.wh.pg", b"")], {"mysql2": "3.9.0"}),
        ([(MODULES, "/elsewhere")], {}),
        ([(f"{MODULES}/pg/index.js", b"")], {"pg": "8.11.0", "mysql2": "3.9.0"}),
        ([(PG, b"not json")], {"pg": None, "mysql2": "3.9.0"}),
        ([(PG, "../../elsewhere.json")], {"pg": None, "mysql2": "3.9.0"}),
        ([(PG, package("another", "1.0.0"))], {"pg": None, "mysql2": "3.9.0"}),
        ([(f"{MODULES}/.wh.pg", b""), (PG, package("pg", "9.0.0"))], {"pg": "9.0.0", "mysql2": "3.9.0"}),
    ],
)
def test_the_topmost_layer_wins_and_whiteouts_hide(above: list[Entry], seen: dict[str, str | None]) -> None:
    assert {path.split("/")[-2]: version for path, version in versions(BASE, above).items()} == seen


def test_a_package_tells_its_version_and_what_it_needs() -> None:
    contents, _ = walk(tar([(PG, package("pg", "8.16.3", engines={"node": ">= 16"}))]))
    assert layer.merged([contents]) == (Packaged(PG, "pg", "8.16.3", (("node", ">= 16"),)),)


def test_only_packages_that_matter_are_kept_wherever_they_stand() -> None:
    store = "srv/app/node_modules/.pnpm/pg@8.0.0/node_modules/pg/package.json"
    seen = versions(
        [
            (store, package("pg", "8.0.0")),
            ("srv/app/node_modules/@objectstack/driver-sql/package.json", package("@objectstack/driver-sql", "17.4.0")),
            ("srv/app/node_modules/@objectstack/driver-sql/dist/package.json", b"{}"),
            ("srv/app/node_modules/express/package.json", package("express", "5.0.0")),
            ("srv/app/package.json", package("objectos", "4.2.0")),
            ("srv/package.json", package("something", "1.0.0")),
            ("a/b/c/d/e/f/package.json", package("objectos", "1.0.0")),
        ]
    )
    assert sorted(str(version) for version in seen.values()) == ["17.4.0", "4.2.0", "8.0.0"]


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("../../etc/passwd", header(b"../../etc/passwd")),
        ("a/../../b", header(b"a/../../b")),
        ("out", header(b"out", kind=b"1", target=b"../../etc/shadow")),
        ("dev/sda", header(b"dev/sda", kind=b"4")),
        ("twice", header(b"twice") * 2),
        ("./twice", header(b"twice") + header(b"./twice")),
    ],
)
def test_a_hostile_member_of_a_layer_is_refused_by_name(name: str, made: bytes) -> None:
    assert list(walk(header(b"fine") + made + END)[1]) == [name]


def test_what_base_images_hold_is_not_hostile() -> None:
    made = header(b"dev/null", kind=b"3") + header(b"etc/mtab", kind=b"2", target=b"/proc/mounts")
    made += header(b"etc/", kind=b"5") * 2 + header(b"up", kind=b"2", target=b"../../x") + header(b"..data")
    assert walk(made + END)[1] == {}
