"""No archive, layout or document breaks the examination of an image, and none that was changed passes unseen."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap_check.release import archive, layer, manifest
from airgap_check.release.flow import Flow, packing, unpacked
from airgap_check.release.image import Examined, examine, recognise
from airgap_check.release.reference import parse
from airgap_check.release.trouble import BrokenError, HostileError
from tests.live.images import Layout, runtime

SOUND = runtime().archive()
FILES = dict(runtime().files)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
KEYS = [
    "manifests", "layers", "config", "digest", "size", "mediaType", "schemaVersion", "annotations", "platform", "urls",
]  # fmt: skip


def look(content: bytes) -> Examined:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "image.tar")
        path.write_bytes(content)
        recognise(str(path))
        return examine(str(path), platform="linux/amd64")


def is_clean(seen: Examined) -> bool:
    return bool(seen.images) and not seen.incomplete and all(found.outcome == "passed" for found in seen.findings)


IMAGES = look(SOUND).images


def test_the_archive_that_is_changed_below_is_sound() -> None:
    assert is_clean(look(SOUND))


@given(st.binary(max_size=3000))
def test_any_bytes_are_examined(content: bytes) -> None:
    assert not is_clean(look(content))


@given(st.binary(max_size=2000), st.sampled_from([gzip.compress, zstandard.compress]), st.integers(0, 200))
def test_any_packed_bytes_are_unpacked_or_refused(content: bytes, pack: Any, cut: int) -> None:
    packed = pack(content)
    for data in (packed, packed[:-cut], packed + content[:cut]):
        flow = Flow(io.BytesIO(data).read)
        try:
            out = Flow(unpacked(flow, packing(data)))
            while out.some(100):
                pass
        except BrokenError:
            continue
        if data == packed:
            assert out.size == len(content)


@given(st.binary(max_size=4000), st.booleans())
def test_any_bytes_are_read_as_an_archive_or_refused(content: bytes, marked: bool) -> None:  # noqa: FBT001  # hypothesis fills it
    try:
        for member in archive.members(Flow(io.BytesIO(content).read), marked=marked):
            assert member.size >= 0
            layer.clean(member.name)
    except (BrokenError, HostileError):
        pass


@given(st.integers(0, 511), st.integers(1, 255), st.integers(0, 20))
@settings(max_examples=300)
def test_a_header_that_was_changed_is_noticed(at: int, change: int, block: int) -> None:
    at += 512 * block
    content = bytearray(SOUND)
    if at >= len(content):
        return
    content[at] ^= change
    seen = look(bytes(content))
    assert not is_clean(seen) or seen.images == IMAGES, "what is not noticed changes nothing"


@given(st.integers(0, len(SOUND)))
def test_a_cut_archive_is_never_sound(length: int) -> None:
    assert length == len(SOUND) or not is_clean(look(SOUND[:length])) or not SOUND[length:].strip(b"\0")


@given(st.sampled_from(sorted(FILES)), st.data())
def test_a_byte_changed_in_any_file_of_a_layout_is_noticed_unless_it_says_the_same(
    name: str, data: st.DataObject
) -> None:
    content = bytearray(FILES[name])
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    seen = look(Layout({**FILES, name: bytes(content)}).archive())
    if name.startswith("blobs/"):
        assert not is_clean(seen)
    if is_clean(seen):
        assert [image._replace(references=()) for image in seen.images] == [
            image._replace(references=()) for image in IMAGES
        ], "of the index, only the name can change unnoticed"


@given(st.sampled_from(["index.json", "oci-layout", "manifest.json"]), JSON)
def test_any_document_is_read_or_refused(name: str, content: Any) -> None:
    look(Layout({**FILES, name: json.dumps(content).encode()}).archive())


@given(st.dictionaries(st.sampled_from(KEYS), JSON | st.just(2) | st.just([]), max_size=6))
def test_any_manifest_is_read_or_refused(content: dict[str, Any]) -> None:
    layout = Layout()
    look(layout.index(layout.document(content, "")).archive())


@given(JSON | st.dictionaries(st.sampled_from(KEYS), JSON))
def test_any_json_gets_its_shape_or_is_refused(content: Any) -> None:
    for shape in (manifest.Index, manifest.Manifest, manifest.Configuration, manifest.Descriptor, manifest.Saved):
        try:
            manifest.convert(manifest.read(json.dumps(content).encode()), shape)
        except BrokenError:
            continue


@given(st.text(max_size=60) | st.text("aZ0:/@.-_", max_size=60))
def test_any_text_is_a_reference_or_none(text: str) -> None:
    found = parse(text)
    if found:
        written = f"{found.registry}/" * bool(found.registry) + found.repository
        written += f":{found.tag}" * bool(found.tag) + f"@{found.digest}" * bool(found.digest)
        assert written == text
