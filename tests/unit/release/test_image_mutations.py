"""One thing changed in a sound image, and the one aspect that says so."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.release.image import Examined, examine
from tests.live.images import LOWER, OCI, UPPER, Layout, digest, named, runtime, tar
from tests.unit.release.test_archive import END, header, pax

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOST = "linux/amd64"


def examined(tmp_path: Path, made: Layout | bytes) -> Examined:
    path = tmp_path / "image"
    if isinstance(made, Layout):
        made.write(path)
    else:
        path.write_bytes(made)
    return examine(str(path), platform=HOST)


def failed(seen: Examined) -> set[str]:
    return {found.aspect for found in seen.findings if found.outcome == "failed"}


def blob(layout: Layout, which: str) -> str:
    """Name the blob of a part: ``manifest``, ``config``, or the number of a layer."""
    manifest = layout.read("index.json")["manifests"][0]
    if which != "manifest":
        body = layout.read(manifest["digest"])
        manifest = body["config"] if which == "config" else body["layers"][int(which)]
    return f"blobs/{manifest['digest'].replace(':', '/')}"


def flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def flipped(which: str, at: int) -> Callable[[], Layout]:
    def change() -> Layout:
        layout = runtime()
        layout.files[blob(layout, which)] = flip(layout.files[blob(layout, which)], at)
        return layout

    return change


def without(name: str) -> Callable[[], Layout]:
    def change() -> Layout:
        layout = runtime()
        del layout.files[name if "." in name or "-" in name else blob(layout, name)]
        return layout

    return change


def index(**changes: Any) -> Callable[[], Layout]:
    """Change the descriptor of the image in the index."""

    def change() -> Layout:
        layout = runtime()
        top = layout.read("index.json")
        top["manifests"][0].update(changes)
        return layout.index(*top["manifests"])

    return change


def manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[], Layout]:
    """Change the manifest, and seal it again, so that nothing but its content can tell."""

    def changed() -> Layout:
        layout = runtime()
        body = layout.read(layout.read("index.json")["manifests"][0]["digest"])
        del layout.files[blob(layout, "manifest")]
        change(body)
        return layout.index(layout.document(body, f"{OCI}.manifest.v1+json", **named()))

    return changed


def document(name: str, content: bytes) -> Callable[[], Layout]:
    def change() -> Layout:
        layout = runtime()
        layout.files[name] = content
        return layout

    return change


def archive(change: Callable[[bytes], bytes]) -> Callable[[], bytes]:
    return lambda: change(runtime().archive())


def extra(*blocks: bytes) -> Callable[[], bytes]:
    """Put members before the others."""
    return archive(lambda whole: b"".join(blocks) + whole)


def layered(content: bytes, how: str = "") -> Callable[[], Layout]:
    """Make an image, sealed as it should be, with a layer of this content."""

    def make() -> Layout:
        layout = Layout()
        return layout.index(layout.image([(content, how)], **named()))

    return make


def saved(change: Callable[[list[dict[str, Any]]], object]) -> Callable[[], bytes]:
    """Change the `manifest.json` of an archive of Docker 25."""

    def make() -> bytes:
        layout = runtime().saved()
        entries = layout.read("manifest.json")
        change(entries)
        layout.files["manifest.json"] = json.dumps(entries).encode()
        return layout.archive()

    return make


def legacy(change: Callable[[dict[str, bytes], dict[str, Any]], object] | None = None) -> bytes:
    """Write an archive in the old form, with one thing changed."""
    layout = runtime()
    body = layout.read(layout.read("index.json")["manifests"][0]["digest"])
    config = layout.files[blob(layout, "config")]
    layers = [tar(LOWER), tar(UPPER)]
    names = [f"{hashlib.sha256(content).hexdigest()}/layer.tar" for content in layers]
    entry: dict[str, Any] = {
        "Config": f"{body['config']['digest'][7:]}.json",
        "RepoTags": ["objectos/runtime:1.4.0"],
        "Layers": names,
    }
    files: dict[str, bytes] = {entry["Config"]: config, **dict(zip(names, layers, strict=True))}
    files["repositories"] = json.dumps({"objectos/runtime": {"1.4.0": "0" * 64}}).encode()
    if change:
        change(files, entry)
    files["manifest.json"] = json.dumps([entry]).encode()
    return tar(files.items())


def swap(body: dict[str, Any]) -> None:
    body["layers"].reverse()


def old(change: Callable[[dict[str, bytes], dict[str, Any]], object]) -> Callable[[], bytes]:
    return lambda: legacy(change)


def change_layer(files: dict[str, bytes], entry: dict[str, Any]) -> None:
    files[entry["Layers"][0]] = flip(files[entry["Layers"][0]], 1600)


def undelivered() -> Layout:
    layout = manifest(lambda body: body["layers"][0].update(mediaType=f"{OCI}.layer.nondistributable.v1.tar+gzip"))()
    del layout.files[blob(layout, "0")]
    return layout


BOMB = gzip.compress(bytes(96 << 20), compresslevel=9)
PATH_DIGEST = "sha256:" + "ab" * 32

MUTATIONS: dict[str, tuple[str, Callable[[], Layout | bytes]]] = {
    "a byte of a gzipped layer": ("image-blob", flipped("0", 40)),
    "a byte of a gzip header": ("image-blob", flipped("0", 0)),
    "a byte of a plain layer": ("image-blob", flipped("1", 600)),
    "a byte of a header in a plain layer": ("image-blob", flipped("1", 3)),
    "a byte of the configuration": ("image-blob", flipped("config", 14)),
    "a bracket of the configuration": ("image-blob", flipped("config", 0)),
    "a byte of the manifest": ("image-blob", flipped("manifest", 19)),
    "a bracket of the manifest": ("image-blob", flipped("manifest", 0)),
    "the size of the manifest": ("image-blob", index(size=1)),
    "the size of a layer": ("image-blob", manifest(lambda body: body["layers"][0].update(size=7))),
    "the size of the configuration": ("image-blob", manifest(lambda body: body["config"].update(size=7))),
    "no lower layer": ("image-missing-blob", without("0")),
    "no upper layer": ("image-missing-blob", without("1")),
    "no configuration": ("image-missing-blob", without("config")),
    "no manifest": ("image-missing-blob", without("manifest")),
    "the index names another manifest": ("image-missing-blob", index(digest=PATH_DIGEST)),
    "layers in another order": ("image-diff-id", manifest(swap)),
    "a layer twice": ("image-diff-id", manifest(lambda body: body["layers"].append(body["layers"][0]))),
    "another diff id": (
        "image-diff-id",
        lambda: runtime(changes={"rootfs": {"type": "layers", "diff_ids": [PATH_DIGEST, digest(tar(UPPER))]}}),
    ),
    "a diff id too few": (
        "image-diff-id",
        lambda: runtime(changes={"rootfs": {"type": "layers", "diff_ids": [digest(tar(LOWER))]}}),
    ),
    "another architecture": ("image-platform", lambda: runtime(architecture="arm64")),
    "another system": ("image-platform", lambda: runtime(changes={"os": "windows"})),
    "the index belies the platform": (
        "image-platform", index(platform={"os": "linux", "architecture": "arm64"}),
    ),
    "a blob that nothing leads to": (
        "image-unreferenced", document(f"blobs/sha256/{hashlib.sha256(b'left over').hexdigest()}", b"left over"),
    ),
    "a file beside the image in an archive": (
        "image-unreferenced", extra(header(b"notes.txt")),
    ),
    "no name": ("image-reference", index(annotations={})),
    "a name that is none": ("image-reference", index(annotations=named("Not A Name")["annotations"])),
    "the layout of another version": ("image-malformed", document("oci-layout", b'{"imageLayoutVersion": "2.0.0"}')),
    "no layout file": ("image-malformed", without("oci-layout")),
    "an index that is no JSON": ("image-malformed", document("index.json", b'{"manifests": [')),
    "an index of another schema": ("image-malformed", document("index.json", b'{"schemaVersion": 1, "manifests": []}')),
    "an index without images": ("image-malformed", document("index.json", b'{"schemaVersion": 2, "manifests": []}')),
    "an index of another shape": ("image-malformed", document("index.json", b'{"schemaVersion": 2, "manifests": 7}')),
    "an index that says a key twice": (
        "image-malformed", document("index.json", runtime().files["index.json"][:-1] + b', "Manifests": []}'),
    ),
    "an index of 5 MB": (
        "image-malformed", document("index.json", b'{"schemaVersion": 2, "manifests": []' + b" " * 5_000_000 + b"}"),
    ),
    "an index of brackets": ("image-malformed", document("index.json", b"[" * 100_000)),
    "a digest that is a path": ("image-malformed", index(digest="sha256:../../../etc/passwd")),
    "a manifest of another type": ("image-malformed", index(mediaType="text/plain")),
    "a manifest that is an index as well": ("image-malformed", manifest(lambda body: body.update(manifests=[]))),
    "a layer of another type than its content": (
        "image-malformed", manifest(lambda body: body["layers"][1].update(mediaType=f"{OCI}.layer.v1.tar+gzip")),
    ),
    "a layer of an unknown type": (
        "image-malformed", manifest(lambda body: body["layers"][1].update(mediaType="application/x-tar")),
    ),
    "a layer that is no archive": ("image-malformed", layered(b"\x7fELF" + bytes(2000))),
    "a layer that is cut off": ("image-malformed", layered(tar(LOWER)[:3000], "+gzip")),
    "a layer to be fetched": (
        "image-foreign-layer",
        manifest(lambda body: body["layers"][0].update(urls=["https://user:secret@mirror.vendor.example/l"])),
    ),
    "a layer that is never delivered": (
        "image-foreign-layer",
        undelivered,
    ),
    "an absolute member": ("hostile-archive", extra(header(b"/etc/cron.d/job"))),
    "a member that climbs out": ("hostile-archive", extra(header(b"../../etc/passwd"))),
    "a symlink out": ("hostile-archive", extra(header(b"blobs/l", kind=b"2", target=b"../../../etc/shadow"))),
    "an absolute symlink": ("hostile-archive", extra(header(b"blobs/l", kind=b"2", target=b"/etc/shadow"))),
    "a hard link out": ("hostile-archive", extra(header(b"l", kind=b"1", target=b"../x"))),
    "a folder that is a link": (
        "hostile-archive", extra(header(b"d", kind=b"2", target=b"blobs"), header(b"d/x", kind=b"2", target=b"y")),
    ),
    "a member twice": (
        "hostile-archive", lambda: tar([*runtime().files.items(), ("index.json", b"{}")]),
    ),
    "a device": ("hostile-archive", extra(header(b"dev", kind=b"4"))),
    "a pipe": ("hostile-archive", extra(header(b"pipe", kind=b"6"))),
    "a name with a control character": ("hostile-archive", extra(header(b"a\x1b[2Jb"))),
    "a size that readers see otherwise": ("hostile-archive", extra(pax((b"size", b"512")) + header(b"x") + bytes(512))),
    "a sparse member": ("hostile-archive", extra(header(kind=b"S"))),
    "members after the end": ("hostile-archive", archive(lambda whole: whole + header(b"late") + END)),
    "a gzip bomb as a layer": ("hostile-archive", layered(bytes(96 << 20), "+gzip")),
    "a layer that climbs out": ("hostile-archive", layered(header(b"../../etc/passwd") + END)),
    "a bomb around the archive": ("hostile-archive", lambda: BOMB),
    "an archive that is cut off": ("image-malformed", archive(lambda whole: whole[: len(whole) // 2])),
    "an archive without its end": ("image-malformed", archive(lambda whole: whole.rstrip(b"\0"))),
    "an archive of something else": ("image-malformed", lambda: tar([("readme.txt", b"hello")])),
    "a file that is no archive": ("image-malformed", lambda: b"hello"),
    "another tag than the index": (
        "image-reference", saved(lambda entries: entries[0].update(RepoTags=["objectos/runtime:9.9.9"])),
    ),
    "other layers than the manifest": ("image-malformed", saved(lambda entries: entries[0]["Layers"].reverse())),
    "another image than the index": ("image-malformed", saved(lambda entries: entries[0].update(Config="oci-layout"))),
    "old form, a byte of a layer": ("image-diff-id", old(change_layer)),
    "old form, layers in another order": ("image-diff-id", old(lambda _, entry: entry["Layers"].reverse())),
    "old form, a byte of the configuration": (
        "image-blob", old(lambda files, entry: files.update({entry["Config"]: flip(files[entry["Config"]], 14)})),
    ),
    "old form, no layer": ("image-missing-blob", old(lambda files, entry: files.pop(entry["Layers"][0]))),
    "old form, no configuration": ("image-missing-blob", old(lambda files, entry: files.pop(entry["Config"]))),
    "old form, no name": (
        "image-reference", old(lambda files, entry: (entry.update(RepoTags=None), files.pop("repositories"))),
    ),
    "old form, a tag that repositories has otherwise": (
        "image-reference", old(lambda _, entry: entry.update(RepoTags=["objectos/runtime:2.0.0"])),
    ),
    "old form, a layer that nothing leads to": (
        "image-unreferenced", old(lambda files, _: files.update({"left/layer.tar": tar(UPPER)})),
    ),
    "old form, an empty list": ("image-malformed", lambda: tar([("manifest.json", b"[]")])),
    "old form, no JSON": ("image-malformed", lambda: tar([("manifest.json", b"[{")])),
}  # fmt: skip


@pytest.mark.parametrize(("aspect", "make"), MUTATIONS.values(), ids=MUTATIONS)
def test_one_change_fails_with_its_own_aspect(aspect: str, make: Callable[[], Layout | bytes], tmp_path: Path) -> None:
    seen = examined(tmp_path, make())
    assert failed(seen) - {"image-digest-unprovable"} == {aspect}, seen.findings
    assert all(found.detail for found in seen.findings)


@pytest.mark.parametrize("form", ["oci-layout", "oci-archive", "docker-save", "docker-archive"])
def test_what_is_sound_fails_with_nothing(form: str, tmp_path: Path) -> None:
    made: Layout | bytes = runtime()
    if isinstance(made, Layout) and form != "oci-layout":
        made = {"oci-archive": made.archive(), "docker-save": runtime().saved().archive(), "docker-archive": legacy()}[
            form
        ]
    seen = examined(tmp_path, made)
    assert seen.form == form
    assert failed(seen) == ({"image-digest-unprovable"} if form == "docker-archive" else set())
    assert {found.aspect for found in seen.findings} >= {"image-blob", "image-diff-id", "hostile-archive"}
    assert seen.incomplete == ""


@pytest.mark.parametrize("name", ["/etc/cron.d/job", "../../etc/passwd"])
def test_what_is_hostile_is_refused_by_name(name: str, tmp_path: Path) -> None:
    seen = examined(tmp_path, extra(header(name.encode()))())
    assert [found.subject for found in seen.findings if found.aspect == "hostile-archive"] == [name]


def test_credentials_of_a_layers_address_are_not_shown(tmp_path: Path) -> None:
    _, make = MUTATIONS["a layer to be fetched"]
    told = str(examined(tmp_path, make()).findings)
    assert "mirror.vendor.example" in told
    assert "secret" not in told


def test_a_symlink_out_of_a_layout_is_refused(tmp_path: Path) -> None:
    folder = runtime().write(tmp_path / "layout")
    (folder / "blobs" / "sha256" / "link").symlink_to("/etc/shadow")
    seen = examine(str(folder), platform=HOST)
    assert failed(seen) == {"hostile-archive"}
    assert "link" in next(found.subject for found in seen.findings if found.outcome == "failed")
