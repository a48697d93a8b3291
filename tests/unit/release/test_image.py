"""Every form of an image is recognised and says the same; what is legitimate, if unusual, is not a finding."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from airgap_check.release import machine
from airgap_check.release.image import Delivered, Examined, Packaged, examine, recognise
from airgap_check.release.reference import Reference, fits, parse
from tests.live.images import LOWER, MODULES, OCI, REFERENCE, UPPER, Layout, digest, named, runtime, tar
from tests.unit.release.test_archive import END, header
from tests.unit.release.test_image_mutations import examined, failed, legacy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ATTESTED: dict[str, Any] = {
    "platform": {"os": "unknown", "architecture": "unknown"},
    "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
}


def zstd_image() -> Layout:
    layout = Layout()
    packed = layout.add(zstandard.compress(tar(LOWER)), f"{OCI}.layer.v1.tar+zstd")
    return layout.index(
        layout.image(
            [],
            changes={"rootfs": {"type": "layers", "diff_ids": [digest(tar(LOWER))]}},
            manifest={"layers": [packed]},
            **named(),
        )
    )


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "gz": gzip.compress,
    "zst": zstandard.compress,
}


@pytest.mark.parametrize("form", PACKED)
def test_an_archive_may_be_compressed_as_docker_reads_it(tmp_path: Path, form: str) -> None:
    (tmp_path / "image").write_bytes(PACKED[form](runtime().archive()))
    seen = examine(str(tmp_path / "image"), platform="linux/amd64")
    assert (recognise(str(tmp_path / "image")), len(seen.images), failed(seen)) == ("oci-archive", 1, set())


@pytest.mark.parametrize("form", ["xz", "bz2"])
def test_one_that_is_cut_off_is_told(tmp_path: Path, form: str) -> None:
    (tmp_path / "image").write_bytes(PACKED[form](runtime().archive())[:-40])
    assert failed(examine(str(tmp_path / "image"), platform="linux/amd64")) == {"image-malformed"}


@pytest.mark.parametrize("form", ["xz", "bz2"])
def test_a_bomb_of_any_kind_is_refused(tmp_path: Path, form: str) -> None:
    (tmp_path / "image").write_bytes(PACKED[form](header(b"oci-layout", size=b"%011o\0" % (1 << 28)) + bytes(1 << 28)))
    assert "hostile-archive" in failed(examine(str(tmp_path / "image")))


def test_an_image_is_recognised_however_late_its_names_come(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(tar([("README", bytes(3 << 20)), *sorted(runtime().files.items())]))
    assert recognise(str(tmp_path / "image")) == "oci-archive"


@pytest.mark.parametrize(
    "content",
    [tar([("index.html", b"x"), ("manifest.json", b'{"name": "a web application"}')]), bytes(1 << 20), b"text" * 300],
)
def test_what_is_no_image_is_not_taken_for_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(gzip.compress(content))
    assert recognise(str(tmp_path / "file")) is None


def test_what_crane_and_kaniko_write_is_read(tmp_path: Path) -> None:
    packed = gzip.compress(tar(UPPER))
    stated = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [digest(tar(UPPER))]}}
    named_by_digest = json.dumps(stated).encode()
    layer = f"{digest(packed).removeprefix('sha256:')}.tar.gz"
    entry = {"Config": digest(named_by_digest), "RepoTags": [REFERENCE], "Layers": [layer]}
    files = (
        (digest(named_by_digest), named_by_digest),
        (layer, packed),
        ("manifest.json", json.dumps([entry]).encode()),
    )
    (tmp_path / "image").write_bytes(tar(files))
    seen = examine(str(tmp_path / "image"), platform="linux/amd64")
    assert (len(seen.images), failed(seen)) == (1, {"image-digest-unprovable"})


def test_an_image_tells_what_it_is(tmp_path: Path) -> None:
    (image,) = examined(tmp_path, runtime()).images
    assert image._replace(id="", digest="", digests=()) == Delivered(
        references=(REFERENCE,),
        id="",
        digest="",
        platform="linux/amd64",
        environment=(("PATH", "/usr/local/bin:/usr/bin"), ("NODE_ENV", "production"), ("OS_CLOUD_URL", "off")),
        user="node",
        working_directory="/srv/app",
        command=("docker-entrypoint.sh", "os", "start"),
        created="2026-11-20T10:00:00Z",
        packages=(
            Packaged(f"{MODULES}/@objectstack/cli/package.json", "@objectstack/cli", "17.4.0", (("node", ">=22"),)),
            Packaged(f"{MODULES}/pg/package.json", "pg", "8.16.3"),
        ),
    )
    top = runtime().read("index.json")["manifests"][0]
    assert (image.digest, image.id) == (top["digest"], runtime().read(top["digest"])["config"]["digest"])


def forms() -> dict[str, tuple[str, bytes]]:
    plain = runtime().archive()
    return {
        "an OCI archive": ("oci-archive", plain),
        "a gzipped one": ("oci-archive", gzip.compress(plain)),
        "a zstd one": ("oci-archive", zstandard.compress(plain)),
        "one of many gzip members": (
            "oci-archive",
            b"".join(gzip.compress(plain[at : at + 99]) for at in range(0, len(plain), 99)),
        ),
        "of Docker 25": ("docker-save", runtime().saved().archive()),
        "of Docker before 25": ("docker-archive", legacy()),
    }


@pytest.mark.parametrize(("form", "content"), forms().values(), ids=forms())
def test_every_form_says_the_same(form: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "original").mkdir()
    (expected,) = examined(tmp_path / "original", runtime()).images
    seen = examined(tmp_path, content)
    (image,) = seen.images
    assert seen.form == form
    assert failed(seen) <= {"image-digest-unprovable"}
    assert image.digest == (None if form == "docker-archive" else expected.digest)
    same = [each._replace(references=(), digest=None, digests=()) for each in (image, expected)]
    assert same[0] == same[1]
    recognised = recognise(str(tmp_path / "image"))
    assert recognised == ("oci-archive" if form == "docker-save" else form)


def test_a_layout_is_a_folder_and_other_files_and_folders_are_nothing(tmp_path: Path) -> None:
    assert recognise(str(runtime().write(tmp_path / "layout"))) == "oci-layout"
    (tmp_path / "readme.tar").write_bytes(tar([("readme.txt", b"hello")]))
    (tmp_path / "data.bin").write_bytes(os.urandom(4096))
    os.mkfifo(tmp_path / "pipe")
    for name in (".", "readme.tar", "data.bin", "pipe", "absent"):
        assert recognise(str(tmp_path / name)) is None


@pytest.mark.parametrize("name", ["absent", "pipe"])
def test_what_cannot_be_read_is_incomplete_and_not_sound(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    seen = examine(str(tmp_path / name))
    assert (seen.form, seen.images, seen.findings) == (None, (), ())
    assert seen.incomplete


def test_without_time_nothing_passes(tmp_path: Path) -> None:
    folder = runtime().write(tmp_path / "layout")
    seen = examine(str(folder), deadline=time.monotonic() - 1)
    assert seen == Examined("oci-layout", (), (), "no time was left to examine it")


def test_an_image_for_several_platforms_needs_one_for_this_host(tmp_path: Path) -> None:
    layout = Layout()
    images = [
        layout.image([(tar(LOWER), "")], architecture=name, platform={"os": "linux", "architecture": name})
        for name in ("amd64", "arm64")
    ]
    inner = layout.document(
        {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": images},
        f"{OCI}.index.v1+json",
        **named(),
    )
    seen = examined(tmp_path, layout.index(inner))
    assert failed(seen) == set()
    assert [(image.platform, image.references) for image in seen.images] == [
        ("linux/amd64", (REFERENCE,)), ("linux/arm64", (REFERENCE,)),
    ]  # fmt: skip
    assert all(inner["digest"] in image.digests for image in seen.images), "a pin may name the index"
    assert failed(examine(str(tmp_path / "image"), platform="linux/s390x")) == {"image-platform"}


def test_an_image_for_another_platform_may_be_left_out_of_an_index_and_ours_may_not(tmp_path: Path) -> None:
    for missing, expected in (("arm64", set()), ("amd64", {"image-missing-blob", "image-platform"})):
        layout = Layout()
        images = {
            name: layout.image([(tar(LOWER), "")], architecture=name, platform={"os": "linux", "architecture": name})
            for name in ("amd64", "arm64")
        }
        inner = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": list(images.values())}
        del layout.files[f"blobs/{images[missing]['digest'].replace(':', '/')}"]
        for name in [
            name for name, content in layout.files.items() if f'"architecture": "{missing}"'.encode() in content
        ]:
            del layout.files[name]
        layout.index(layout.document(inner, f"{OCI}.index.v1+json", **named()))
        (tmp_path / missing).mkdir()
        assert failed(examined(tmp_path / missing, layout)) == expected


def test_attestations_and_signatures_are_no_images(tmp_path: Path) -> None:
    layout = Layout()
    statement = layout.document({"_type": "https://in-toto.example/Statement"}, "application/vnd.in-toto+json")
    attestation = layout.image([], manifest={"layers": [statement]}, **ATTESTED)
    image = layout.image([(tar(LOWER), "")], platform={"os": "linux", "architecture": "amd64"})
    inner = {"schemaVersion": 2, "manifests": [image, attestation]}
    layout.index(layout.document(inner, f"{OCI}.index.v1+json", **named()))
    seen = examined(tmp_path, layout)
    assert failed(seen) == set()
    assert len(seen.images) == 1


def test_an_image_that_hides_as_an_attestation_is_an_image(tmp_path: Path) -> None:
    layout = Layout()
    hidden = layout.image([(tar(UPPER), "")], architecture="arm64", **ATTESTED)
    seen = examined(tmp_path, layout.index(hidden))
    assert [image.platform for image in seen.images] == ["linux/arm64"]
    assert failed(seen) == {"image-platform", "image-reference"}


def test_indexes_without_end_are_refused(tmp_path: Path) -> None:
    layout = Layout()
    top = layout.image([(tar(LOWER), "")])
    for _ in range(6):
        top = layout.document({"schemaVersion": 2, "manifests": [top]}, f"{OCI}.index.v1+json", **named())
    assert failed(examined(tmp_path, layout.index(top))) == {"image-malformed"}


def test_an_index_that_multiplies_is_refused_soon(tmp_path: Path) -> None:
    layout = Layout()
    top = layout.image([(tar(LOWER), "")])
    for _ in range(3):
        top = layout.document({"schemaVersion": 2, "manifests": [top] * 200}, f"{OCI}.index.v1+json", **named())
    assert failed(examined(tmp_path, layout.index(top))) == {"image-malformed"}


def test_a_layer_by_zstd_is_verified(tmp_path: Path) -> None:
    seen = examined(tmp_path, zstd_image())
    assert failed(seen) == set()
    assert [found.name for found in seen.images[0].packages] == ["mysql2", "pg"]


def test_a_layer_by_zstd_is_undecided_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    seen = examined(tmp_path, zstd_image())
    (told,) = [found for found in seen.findings if found.outcome != "passed"]
    assert (told.aspect, told.outcome) == ("image-diff-id", "unknown")
    assert "airgap-check[images]" in told.detail


def test_an_archive_by_zstd_is_incomplete_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert "airgap-check[images]" in examined(tmp_path, zstandard.compress(runtime().archive())).incomplete


@pytest.mark.parametrize("content", [bytes(100 << 20), b"ab" * (50 << 20)])
def test_a_bomb_by_zstd_is_refused(content: bytes, tmp_path: Path) -> None:
    layout = zstd_image()
    layout = Layout()
    packed = layout.add(zstandard.compress(content), f"{OCI}.layer.v1.tar+zstd")
    layout.index(layout.image([], manifest={"layers": [packed]}, **named()))
    assert "hostile-archive" in failed(examined(tmp_path, layout))


def test_what_docker_25_adds_for_old_readers_is_not_unreferenced(tmp_path: Path) -> None:
    layout = runtime().saved()
    layout.document({"id": "ab" * 32, "created": "1970-01-01T00:00:00Z", "os": "linux"}, "")
    assert failed(examined(tmp_path, layout.archive())) == set()


def test_links_inside_of_an_archive_are_followed(tmp_path: Path) -> None:
    made = legacy()
    entry = json.loads(made[made.rindex(b'[{"Config') :].partition(b"\0")[0])[0]
    first = entry["Layers"][0]
    entry["Layers"][0] = "linked/layer.tar"
    files = tar([("manifest.json", json.dumps([entry]).encode())])[:1024]
    link = header(b"linked/layer.tar", kind=b"2", target=f"../{first}".encode())
    body = made[: made.rindex(b"manifest.json\0")]
    assert failed(examined(tmp_path, body + link + files + END)) == {"image-digest-unprovable"}


def test_a_link_that_leads_to_itself_leads_to_nothing(tmp_path: Path) -> None:
    loop = header(b"index.json", kind=b"2", target=b"index.json")
    assert failed(examined(tmp_path, loop + END)) == {"image-malformed"}


def test_an_image_without_layers_and_process_is_sound(tmp_path: Path) -> None:
    layout = Layout()
    made = layout.image([], changes={"config": None, "rootfs": {"type": "layers", "diff_ids": []}}, **named())
    seen = examined(tmp_path, layout.index(made))
    assert failed(seen) == set()
    assert (seen.images[0].environment, seen.images[0].command) == ((), ())


def test_two_names_of_one_image_are_one_image(tmp_path: Path) -> None:
    layout = Layout()
    image = layout.image([(tar(LOWER), "")])
    both = [{**image, **named(name)} for name in ("bank.example/a:1", "bank.example/a:stable")]
    (seen,) = examined(tmp_path, layout.index(*both)).images
    assert seen.references == ("bank.example/a:1", "bank.example/a:stable")


@pytest.mark.parametrize(
    ("image", "host", "runs"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64/v1", "linux/amd64", True),
        ("linux/amd64/v3", "linux/amd64", False),
        ("linux/arm64", "linux/amd64", False),
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm", "linux/arm/v7", True),
        ("linux/arm/v6", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm/v6", False),
        ("windows/amd64", "linux/amd64", False),
        ("", "linux/amd64", False),
    ],
)
def test_an_image_runs_on_its_own_platform(image: str, host: str, *, runs: bool) -> None:
    assert machine.runs(image, host) is runs


def test_this_host_has_a_platform() -> None:
    assert machine.platform().startswith("linux/")
    assert "x86" not in machine.platform()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("postgres", ("", "postgres", "", "")),
        ("postgres:16", ("", "postgres", "16", "")),
        ("library/postgres:16", ("", "library/postgres", "16", "")),
        ("registry.bank.example:5000/a/b:1.0", ("registry.bank.example:5000", "a/b", "1.0", "")),
        ("localhost/a", ("localhost", "a", "", "")),
        (f"a/b:1@sha256:{'0' * 64}", ("", "a/b", "1", f"sha256:{'0' * 64}")),
        ("A/b", None),
        ("a b", None),
        ("a:", None),
        ("", None),
        ("a@sha256:00", None),
        ("a//b", None),
        ("-x", None),
        ("bank.example:port/a", None),
        ("a" * 1000, None),
    ],
)
def test_a_reference_is_read_as_docker_reads_it(text: str, parts: tuple[str, ...] | None) -> None:
    assert parse(text) == (Reference(*parts) if parts else None)


def test_a_familiar_name_fits_the_full_one() -> None:
    assert fits("registry.bank.example/library/a:1", "a:1")
    assert fits("1.4.0", "objectos:1.4.0")
    assert not fits("registry.bank.example/ba:1", "a:1")
    assert not fits("1.4.1", "objectos:1.4.0")
