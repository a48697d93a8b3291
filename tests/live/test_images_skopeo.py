"""Images written by skopeo: every form says the same as the layout that it was made of, and one change is noticed."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from airgap_check.release.image import Delivered, Examined, examine, recognise
from tests.live.images import LOWER, OCI, REFERENCE, UPPER, Layout, named, runtime, skopeo, tar

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.live

HOST = "linux/amd64"
FORMS = {"oci": "oci-layout", "oci-archive": "oci-archive", "docker-archive": "docker-archive"}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Layout()
    layers = [(tar(LOWER), "+gzip"), (tar(UPPER), "+gzip")]
    return made.index(made.image(layers, **named())).write(tmp_path_factory.mktemp("images") / "layout")


def copied(layout: Path, transport: str, to: Path) -> Path:
    skopeo("copy", "--insecure-policy", f"oci:{layout}:{REFERENCE}", f"{transport}:{to}:{REFERENCE}")
    return to


def told(seen: Examined) -> set[str]:
    return {found.aspect for found in seen.findings if found.outcome != "passed"}


def facts(image: Delivered) -> Delivered:
    """Leave out what the old form cannot prove."""
    return image._replace(digest=None, digests=())


@pytest.mark.parametrize("transport", FORMS)
def test_every_form_by_skopeo_is_sound_and_says_the_same(transport: str, layout: Path, tmp_path: Path) -> None:
    path = copied(layout, transport, tmp_path / "copy")
    assert recognise(str(path)) == FORMS[transport]
    seen, original = examine(str(path), platform=HOST), examine(str(layout), platform=HOST)
    assert (seen.form, seen.incomplete) == (FORMS[transport], "")
    assert told(seen) == ({"image-digest-unprovable"} if transport == "docker-archive" else set())
    assert [facts(image) for image in seen.images] == [facts(image) for image in original.images]
    expected = None if transport == "docker-archive" else original.images[0].digest
    assert [image.digest for image in seen.images] == [expected]


def test_the_digest_is_the_one_that_skopeo_tells(layout: Path) -> None:
    argv = ["skopeo", "inspect", "--format", "{{.Digest}}", f"oci:{layout}:{REFERENCE}"]
    shown = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    assert examine(str(layout), platform=HOST).images[0].digest == shown


def test_layers_that_skopeo_packs_by_zstd_are_verified(tmp_path: Path) -> None:
    plain = runtime().write(tmp_path / "plain")
    arguments = ["copy", "--insecure-policy", "--dest-compress-format=zstd", "--dest-compress"]
    path = tmp_path / "image.tar"
    skopeo(*arguments, f"oci:{plain}:{REFERENCE}", f"oci-archive:{path}:{REFERENCE}")
    seen = examine(str(path), platform=HOST)
    assert told(seen) == set()
    assert [found.name for found in seen.images[0].packages] == ["@objectstack/cli", "pg"]


@pytest.mark.parametrize("transport", ["oci-archive", "docker-archive"])
def test_no_byte_of_a_layer_changes_unnoticed(transport: str, layout: Path, tmp_path: Path) -> None:
    path = copied(layout, transport, tmp_path / "copy")
    content = path.read_bytes()
    for at in range(600, len(content) - 10240, len(content) // 40):
        changed = content[:at] + bytes([content[at] ^ 0x20]) + content[at + 1 :]
        path.write_bytes(changed)
        header = at // 512 * 512
        if changed[header + 257 : header + 262] == b"ustar":
            continue  # a header of the archive: owners and times are nobody's business
        before = told(examine(str(path), platform=HOST)) - {"image-digest-unprovable"}
        assert before or not content[at - 1 : at + 2].strip(b"\0"), at


def test_what_we_refuse_is_not_what_skopeo_writes_for_two_platforms(tmp_path: Path) -> None:
    made = Layout()
    images = [
        made.image([(tar(LOWER), "+gzip")], architecture=name, platform={"os": "linux", "architecture": name})
        for name in ("amd64", "arm64")
    ]
    inner = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": images}
    folder = made.index(made.document(inner, f"{OCI}.index.v1+json", **named())).write(tmp_path / "layout")
    path = tmp_path / "image.tar"
    skopeo("copy", "--insecure-policy", "--all", f"oci:{folder}:{REFERENCE}", f"oci-archive:{path}:{REFERENCE}")
    seen = examine(str(path), platform=HOST)
    assert told(seen) == set()
    assert [image.platform for image in seen.images] == ["linux/amd64", "linux/arm64"]
