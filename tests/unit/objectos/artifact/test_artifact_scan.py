"""A file is read whole or said not to be; what is no artifact is malformed at a line and a column, never a crash."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from airgap_check.objectos.artifact import Scan, piece, scan, scanning

_CORPUS = Path(__file__).parent / "corpus"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "objectstack.json"


def _scan(path: Path, content: bytes | None = None, *, at: tuple[str, ...] = (), root: str = "$", **more: Any) -> Scan:
    if content is not None:
        path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return scan(descriptor, at=at, root=root, **more)
    finally:
        os.close(descriptor)


def test_a_sound_artifact_tells_who_it_is(file: Path) -> None:
    manifest = {"id": "com.bank.crm", "version": "1.2.0", "engines": {"protocol": "^17"}}
    content = json.dumps({"manifest": manifest, "runtimeModule": "objectstack-runtime.x.mjs"}).encode()
    read = _scan(file, content)
    assert (read.state, read.name, read.version, read.protocol) == ("intact", "com.bank.crm", "1.2.0", "^17")
    assert (read.sha256, read.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert read.runtime_module == "objectstack-runtime.x.mjs"
    assert read.incomplete == ""


@pytest.mark.parametrize(
    ("content", "line", "column", "reason"),
    [
        (b"", 1, 1, "empty"),
        (b" \n ", 2, 2, "middle"),
        (b"[1]", 1, 1, "list"),
        (b"null", 1, 1, "object"),
        (b'\xef\xbb\xbf{"a": 1}', 1, 1, "invalid"),
        (b'{"a": NaN}', 1, 7, "invalid"),
        (b'{\n "a": Infinity}', 2, 7, "invalid"),
        (b'{"a": 1} x', 1, 10, "trailing"),
        (b'{"a": 1}\n{"a": 1}', 2, 1, "trailing"),
        (b'{"a": [1,\n2', 2, 2, "middle"),
        (b'{"a": "x', 1, 9, "middle"),
        (b'{"a": {"b": 1,}}', 1, 15, "comma"),
        (b'{"a":\n "\xc3\xa4\xff"}', 2, 4, "UTF-8"),
        (b'{"\xff": 1}', 1, 3, "UTF-8"),
        (b'{"a": "x\ny"}', 1, 9, "invalid"),
        (b"{'a': 1}", 1, 2, "strings"),
        (b'{"a": 01}', 1, 8, "number"),
        (b'{"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", 1, 506, "deep"),
        (b'{"a": ' + b'{"b":' * 10_000 + b"1" + b"}" * 10_001, 1, 7 + 499 * 5, "deep"),
        (b'{"a": 1, "b": {\n "c": 1, "c": 2}}', 2, 10, "second time"),
        (b'{"a": 1,\n"a": 2}', 2, 1, "second time"),
        (b'{"a": 1,\n"\\u0061": 2}', 2, 1, "second time"),
    ],
)
def test_what_is_no_artifact_is_told_by_line_and_column(
    file: Path, content: bytes, line: int, column: int, reason: str
) -> None:
    read = _scan(file, content)
    assert read.state == "malformed"
    assert reason in read.reason
    assert (read.line, read.column) == (line, column)
    assert read.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "content",
    [
        b'{"a": "\\ud83d"}', b'{"a": "\\udc00\\ud83d\\ude00 x"}', b'{"a": "\\\\ud83d"}', b'{"a": 1e999}',
        b'{"a": ' + b"9" * 10_000 + b"}", b"{}", b'\r\n\t {"a" : [ ] }\n', b'{"": {"": 1}}',
    ],
)  # fmt: skip
def test_what_javascript_reads_is_sound(file: Path, content: bytes) -> None:
    assert _scan(file, content).state == "intact"


def test_of_a_key_that_stands_twice_the_last_is_walked_as_the_runtime_does(file: Path) -> None:
    read = _scan(file, b'{"webhooks": [{"url": "https://a.example", "url": "https://b.example"}]}')
    assert read.state == "malformed"
    assert "the last" in read.reason
    assert [one.text for one in read.found] == ["https://b.example"]


def test_the_manifest_of_a_package_is_walked_where_it_lies(file: Path) -> None:
    whole = {"manifest": {"manifest": {"id": "x"}, "webhooks": [{"url": "https://a.example"}]}, "version": "1"}
    read = _scan(file, json.dumps(whole).encode(), at=("manifest",), root="$.manifest")
    assert [one.pointer for one in read.found] == ["$.manifest.webhooks[0].url"]
    assert read.name == "x"


def test_a_package_without_a_manifest_is_malformed(file: Path) -> None:
    assert _scan(file, b'{"version": "1"}', at=("manifest",)).state == "malformed"


# --- large ones ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piece, "_SIZE", 16)


_LARGE = {
    "manifest": {"id": "com.bank.crm", "engines": {"protocol": "^17"}},
    "datasources": [{"driver": "pg", "schemaMode": "external", "config": {"host": "pg.example"}}] * 3,
    "webhooks": [{"url": "https://a.example/x", "headers": {"Authorization": "Bearer Ub7-kPq2xW9"}}],
    "flows": [{"nodes": [{"type": "http", "config": {"url": "https://h.example/{id}"}}, {"a": [1, [2, "x" * 50]]}]}],
    "actions": [{"target": "https://a.example"}],
    "docs": [{"content": "https://nowhere.example " * 50}],
    "pages": [{"name": "p", "source": "<p>"}],
}


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("size", [128, 200, 1000])
def test_it_does_not_matter_how_a_text_is_cut(
    file: Path, monkeypatch: pytest.MonkeyPatch, indent: int | None, size: int
) -> None:
    content = json.dumps(_LARGE, indent=indent).encode()
    whole = _scan(file, content)
    assert len(whole.found) == 6
    monkeypatch.setattr(piece, "_SIZE", size)
    cut = _scan(file)
    assert sorted(cut.found, key=str) == sorted(whole.found, key=str)
    assert (cut.state, cut.flaws) == ("intact", whole.flaws)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(
    ("content", "line", "column", "reason"),
    [
        (
            b'{"a": {"b": "xxxxxxxxxxxxxxxx",\n "c": "xxxxxxxxxxxxxxxxxx", "b": "yyyyyyyyyyyyyyyyy"}}',
            2,
            29,
            "second time",
        ),
        (b'{"a": {"b": "xxxxxxxxxxxxxxxx",\n "b": "xxxxxxxxxxxxxxxx", "c": 1}}', 2, 2, "second time"),
        (b'{"a": {"b": ["xxxxxxxxxxxxxxxx"],\n "c": {"d": 1, "d": 2}}}', 2, 16, "second time"),
        (b'{"a": {"b": ["xxxxxxxxxxxxxxxx"],\n "c": ["xxxxxxxxxxxxxxxx\xff"]}}', 2, 25, "UTF-8"),
    ],
)
def test_faults_in_large_parts_are_found_as_well(
    file: Path, content: bytes, line: int, column: int, reason: str
) -> None:
    read = _scan(file, content)
    assert read.state == "malformed"
    assert reason in read.reason
    assert (read.line, read.column) == (line, column)


def test_a_part_that_was_cut_out_of_a_large_one_means_what_it_means_there(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piece, "_SIZE", 100)
    prose = {"contact": {"url": "https://prose.example/help"}, "title": "x" * 40}
    settings = {"spec": {"info": prose, "servers": [{"url": "https://api.example/v1"}]}}
    read = _scan(file, json.dumps({"connectors": [{"provider": "openapi", "providerConfig": settings}]}).encode())
    assert [(one.pointer, one.dialer) for one in read.found] == [
        ("$.connectors[0].providerConfig.spec.servers[0].url", "server-event")
    ]


@pytest.mark.usefixtures("small_pieces")
def test_a_text_too_large_to_be_searched_is_said(file: Path) -> None:
    assert "40 bytes" in _scan(file, json.dumps({"webhooks": [{"url": "x" * 38}]}).encode()).incomplete
    assert _scan(file, json.dumps({"docs": [{"content": "x" * 38}]}).encode()).incomplete == ""


def test_a_flood_of_destinations_and_flaws_is_bounded_but_no_destination_is_lost(file: Path) -> None:
    hooks = [{"url": f"https://h{n % 1500}.example/{n}", "secret": f"Zx9-{n}"} for n in range(6000)]
    read = _scan(file, json.dumps({"webhooks": hooks}).encode())
    assert len({one.endpoint for one in read.found}) == 1500
    assert len(read.found) < 2600
    assert len(read.flaws) == 51
    assert read.flaws[-1].detail == "and 5950 more"
    assert read.incomplete == ""


def test_more_destinations_than_can_be_listed_are_said(file: Path) -> None:
    hooks = [{"url": f"https://h{n}.example/"} for n in range(6000)]
    assert "1000 destinations more" in _scan(file, json.dumps({"webhooks": hooks}).encode()).incomplete


# --- files that cannot be read ---------------------------------------------------------------------------------------


def test_a_file_that_is_too_large_is_unreadable(file: Path) -> None:
    with file.open("wb") as sparse:
        sparse.truncate(scanning.LIMIT + 1)
    read = _scan(file)
    assert (read.state, read.sha256) == ("unreadable", None)
    assert "larger" in read.reason


def test_what_is_no_file_is_unreadable() -> None:
    descriptor = os.open("/dev/null", os.O_RDONLY)
    assert scan(descriptor).state == "unreadable"
    os.close(descriptor)


def test_a_time_limit_leaves_it_unreadable(file: Path) -> None:
    read = _scan(file, b'{"a": 1}', deadline=0.0)
    assert (read.state, "time limit" in read.reason) == ("unreadable", True)


# --- what we know the answer of --------------------------------------------------------------------------------------

_EXPECTED = [
    ("$.datasources[0].config.host", "pg.partner.example", 5432, "database", "server-boot"),
    ("$.objects[0].actions[0].target", "docs.vendor.example", 443, None, "browser"),
    ("$.actions[0].target", "docs.vendor.example", 443, None, "browser"),
    ("$.flows[0].nodes[1].config.url", "hooks.slack.com", 443, None, "server-event"),
    ("$.webhooks[0].url", "hooks.partner.example", 443, "webhook", "server-event"),
]


def test_an_artifact_of_the_real_compiler_leads_where_it_was_told_to(file: Path) -> None:
    artifact = (_CORPUS / "egress.objectstack.json").read_bytes()
    read = _scan(file, artifact)
    places = [
        (one.pointer, one.endpoint.name, one.endpoint.port, one.role, one.dialer) for one in read.found if one.endpoint
    ]
    assert places == _EXPECTED
    assert [one[:2] for one in read.flaws] == [("secret-inside", "failed")]  # the address of a Slack webhook is one


def test_an_installed_package_leads_where_its_artifact_did(file: Path) -> None:
    content = (_CORPUS / "installed-package.com.corp.egress.json").read_bytes()
    read = _scan(file, content, at=("manifest",), root="$.manifest")
    assert [one.pointer for one in read.found] == [pointer.replace("$", "$.manifest") for pointer, *_ in _EXPECTED]


def test_an_expression_without_words_is_no_empty_structure(file: Path) -> None:
    content = {"webhooks": [{"name": "n", "url": {"dialect": "cel", "ast": {}}}]}
    (one,) = _scan(file, json.dumps(content).encode()).found
    assert (one.pointer, one.templated) == ("$.webhooks[0].url", True)
