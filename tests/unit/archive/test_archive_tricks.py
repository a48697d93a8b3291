"""Archives that other readers would see otherwise, or that would harm them, are refused, and the trick is named."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
import zstandard

from airgap_check.archive import evidence, form, verification
from airgap_check.errors import UsageError
from tests.unit.archive.archived import archive

if TYPE_CHECKING:
    from pathlib import Path


def told(path: Path) -> str:
    """Verify what has to fail, and return what is said of it."""
    verified = verification.verify(str(path), None)
    assert verified.failed
    return verified.steps[-1].text


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as zipped:
        return {name: zipped.read(name) for name in zipped.namelist()}


def rewrite(path: Path) -> None:
    """Write an archive's members anew with the standard library."""
    contents = members(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in contents.items():
            info = zipfile.ZipInfo(name, (2026, 11, 20, 12, 0, 0))
            info.compress_type = zipfile.ZIP_STORED if name in {form.MANIFEST, form.STATEMENT} else zipfile.ZIP_DEFLATED
            zipped.writestr(info, content)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "a.zip"
    archive(place, rules=1)
    return place


def flagged(path: Path, bit: int) -> bytes:
    """Set a flag in the first local header."""
    whole = bytearray(path.read_bytes())
    whole[6] |= bit
    return bytes(whole)


def renamed(path: Path, name: bytes) -> bytes:
    """Give the first member another name of the same length, in both places."""
    whole = path.read_bytes().replace(b"coverage.json", name, 1)
    at = whole.rindex(b"coverage.json")
    return whole[:at] + name + whole[at + len(name) :]


def test_an_encrypted_member_is_named(path: Path) -> None:
    path.write_bytes(flagged(path, 1))
    assert "coverage.json is encrypted" in told(path)


def test_a_member_whose_sizes_stand_behind_it_is_named(path: Path) -> None:
    path.write_bytes(flagged(path, 8))
    assert "sizes behind it" in told(path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"/overage.json", "an absolute path"),
        (b"../erage.json", "leads elsewhere"),
        (b"c/../age.json", "leads elsewhere"),
        (b"./verage.json", "leads elsewhere"),
        (b"cov\\rage.json", "characters that no member has"),
        (b"cov rage.json", "characters that no member has"),
        (b"Evidence.jsoX", "not in the manifest"),
        (b"zoverage.json", "out of order"),
    ],
)
def test_a_name_that_leads_elsewhere_is_named(path: Path, name: bytes, reason: str) -> None:
    path.write_bytes(renamed(path, name))
    assert reason in told(path)


@pytest.mark.parametrize(("first", "second"), [("a/b", "a/b"), ("A", "a"), ("rules/X/y.yaml", "rules/x/y.yaml")])
def test_names_that_are_one_on_some_file_systems_are_named(first: str, second: str) -> None:
    seen: set[str] = set()
    form.check_order(first, "", seen)
    with pytest.raises(form.BadArchiveError, match="twice, or differs from another only by case"):
        form.check_order(second, first, seen)


def test_the_directory_and_the_headers_have_to_agree(path: Path) -> None:
    whole = path.read_bytes()
    at = whole.rindex(b"policy.yaml")
    path.write_bytes(whole[:at] + b"polixy.yaml" + whole[at + 11 :])
    assert "the directory says otherwise of policy.yaml" in told(path)


def test_a_symbolic_link_in_the_directory_is_named(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    record = whole.rindex(b"policy.yaml") - 46
    whole[record + 38 : record + 42] = (stat.S_IFLNK << 16).to_bytes(4, "little")
    path.write_bytes(whole)
    assert "the directory says otherwise of policy.yaml" in told(path)


def test_a_comment_or_more_behind_the_end_is_named(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"PK")
    assert "2 bytes follow the end" in told(path)


def test_what_the_standard_library_writes_anew_is_not_what_we_wrote(path: Path) -> None:
    rewrite(path)
    assert "the directory says otherwise" in told(path)


def test_a_member_that_is_larger_than_it_says_is_not_unpacked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as smaller:
        smaller.setattr(form, "_LARGEST", {form.EVIDENCE: 10})
        with pytest.raises(UsageError, match="more than 10 bytes"):
            archive(path, rules=1)
        assert "its header says" in told(path)


def test_a_bomb_stops_at_the_size_that_it_claims(path: Path) -> None:
    import zlib

    whole = path.read_bytes()
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(bytes(50_000_000)) + packer.flush()
    head = bytearray(whole[: 30 + len("coverage.json")])
    head[18:22] = len(bomb).to_bytes(4, "little")
    path.write_bytes(bytes(head) + bomb + whole[len(head) :])
    assert "unpacks to more than" in told(path)


def test_a_file_that_is_called_so_and_is_none_does_not_verify(tmp_path: Path) -> None:
    for content in (b"", b"{}", b"\x1f\x8b\x08", b"PK\5\6" + bytes(18)):
        (tmp_path / "a.zip").write_bytes(content)
        assert "no archive: it does not begin as" in told(tmp_path / "a.zip")
        with pytest.raises(UsageError, match="does not verify: no archive"):
            evidence(str(tmp_path / "a.zip"))


def test_a_zip_of_somebody_else_does_not_verify(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        zipped.writestr("readme", "text")
    assert told(tmp_path / "a.zip")


# --- tar ----------------------------------------------------------------------------------------------------------


def tarred(path: Path, *infos: tarfile.TarInfo, kind: int = tarfile.USTAR_FORMAT) -> None:
    """Write a frame of zstd with these members of no size, and nothing behind it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
        for info in infos:
            tar.addfile(info)
    path.write_bytes(zstandard.compress(buffer.getvalue()))


def info(name: str, kind: bytes = tarfile.REGTYPE, **changes: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    made.mode = 0o600
    for key, value in changes.items():
        setattr(made, key, value)
    return made


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (info("a", tarfile.LNKTYPE, linkname="b"), "a hard link"),
        (info("a", tarfile.SYMTYPE, linkname="/etc/passwd"), "a symbolic link"),
        (info("a", tarfile.GNUTYPE_SPARSE), "sparse"),
        (info("a", tarfile.CHRTYPE), "a device"),
        (info("a", tarfile.FIFOTYPE), "a pipe"),
        (info("a/", tarfile.DIRTYPE), "a folder"),
        (info("a", mode=0o4755), "not as we write it"),
        (info("a", uid=5), "not as we write it"),
        (info("/a"), "not as we write it"),
    ],
)
def test_a_member_of_tar_that_is_no_plain_file_is_named(tmp_path: Path, made: tarfile.TarInfo, reason: str) -> None:
    tarred(tmp_path / "a.tar.zst", made)
    assert reason in told(tmp_path / "a.tar.zst")


def test_a_header_that_overrides_another_is_named(tmp_path: Path) -> None:
    tarred(tmp_path / "a.tar.zst", info("a", pax_headers={"path": "b"}), kind=tarfile.PAX_FORMAT)
    assert "overrides another" in told(tmp_path / "a.tar.zst")
    tarred(tmp_path / "a.tar.zst", info("a" * 200), kind=tarfile.GNU_FORMAT)
    assert "a long name" in told(tmp_path / "a.tar.zst")


def test_a_bomb_of_zstd_is_not_unpacked_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.zst"
    archive(path, rules=1)
    engine = zstandard.ZstdCompressor(level=19).compressobj()
    bomb = b"".join(engine.compress(bytes(1 << 20)) for _ in range(500)) + engine.flush()
    path.write_bytes(bomb)
    assert told(path)
