"""No bytes break the scan of an artifact; what JSON says of soundness, it says; how a text is cut changes nothing."""

from __future__ import annotations

import json
import os
from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from airgap_check.objectos.artifact import Found, Scan, piece, scan, walk

_KEYS = st.sampled_from(
    ["url", "host", "config", "nodes", "password", "headers", "body", "port", "isActive", "dialect", "spec", "name"]
) | st.text(max_size=4)
_TEXTS = st.sampled_from(["https://a.example/x", "{x}", "b.example:1", "postgres://u:p@c.example", "//d.example"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=20,
)
_SECTIONS = st.sampled_from(
    ["datasources", "webhooks", "flows", "connectors", "plugins", "pages", "docs", "manifest", "x"]
)
_ARTIFACTS = st.dictionaries(_SECTIONS, _VALUES, max_size=5)


def _scan(content: bytes) -> Scan:
    descriptor = os.memfd_create("artifact")
    try:
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return scan(descriptor)
    finally:
        os.close(descriptor)


@given(st.binary(max_size=200) | st.text('{}[]":,\\ul0aeE-.+NI\n ', max_size=60).map(str.encode))
def test_any_bytes_give_a_state_and_a_place(content: bytes) -> None:
    read = _scan(content)
    assert read.state in {"intact", "malformed"}
    assert (read.line is None) == (read.state == "intact")
    if read.line and read.column:
        lines = content.split(b"\n")
        assert 1 <= read.line <= len(lines)
        assert read.column <= len(lines[read.line - 1]) + 1


@given(_ARTIFACTS, st.integers(0, 300))
def test_an_artifact_is_sound_and_one_that_is_cut_is_not(value: dict[str, Any], cut: int) -> None:
    content = json.dumps(value).encode()
    assert _scan(content).state == "intact"
    if cut < len(content):
        assert _scan(content[:cut]).state == "malformed"


@given(_ARTIFACTS, st.integers(24, 400))
def test_how_a_text_is_cut_changes_neither_state_nor_hosts(value: dict[str, Any], size: int) -> None:
    content = json.dumps(value).encode()
    whole = _scan(content)
    with patch.object(piece, "_SIZE", size):
        cut = _scan(content)
    assert cut.state == whole.state
    if not cut.incomplete:
        assert {one.endpoint.name for one in cut.found if one.endpoint} == {
            one.endpoint.name for one in whole.found if one.endpoint
        }


_FEW = st.lists(st.dictionaries(_KEYS, _VALUES, max_size=4), min_size=1, max_size=3)


@given(_SECTIONS, _FEW, st.sampled_from(["u:p@", "no secret"]), st.sampled_from([64, 1 << 16]))
def test_what_is_left_out_while_decoding_would_have_said_nothing(
    section: str, few: list[dict[str, Any]], removed: str, together: int
) -> None:
    # Without the secret, nothing in it has to be looked at as a whole.
    artifact = json.loads(json.dumps({"manifest": {}, section: few * 100}).replace(removed, ""))
    with patch.object(piece, "_SIZE", 4096), patch.object(piece, "_TOGETHER", together):
        read = _scan(json.dumps(artifact).encode())
    walked = [one for one in walk(artifact, "$") if isinstance(one, Found)]
    assert read.found == tuple(walked[: len(read.found)])
    assert len(read.found) == min(len(walked), 1000)


@given(_VALUES)
def test_any_decoded_value_is_walked_and_what_it_shows_is_printable(value: Any) -> None:
    for one in walk(value, "$"):
        assert one.pointer
        assert one.pointer.isprintable()
        assert not isinstance(one, Found) or one.text.isprintable()
