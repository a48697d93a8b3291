"""Units and drop-ins override each other as systemd lets them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airgap_check.collectors import units
from airgap_check.kernel import foreign_path

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ETC, RUN, LIB = "etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system"


def _write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def _given(root: Path) -> dict[tuple[str, str], tuple[str, str, int]]:
    reading = units.read(str(root))
    assert not reading.failures
    return {(one.unit, one.name): (one.value, one.path, one.line) for one in reading.given}


def test_a_host_without_systemd_gives_nothing(tmp_path: Path) -> None:
    assert units.read(str(tmp_path)) == ([], 0, [], [])


def test_a_unit_in_etc_hides_the_one_of_the_vendor(tmp_path: Path) -> None:
    _write(tmp_path, f"{LIB}/a.service", "[Service]\nEnvironment=A=vendor B=vendor\n")
    _write(tmp_path, f"{ETC}/a.service", "[Service]\nEnvironment=A=site\n")
    assert _given(tmp_path) == {("a.service", "A"): ("site", f"/{ETC}/a.service", 2)}


def test_drop_ins_follow_in_the_order_of_their_names_wherever_they_are(tmp_path: Path) -> None:
    _write(tmp_path, f"{LIB}/a.service", "[Service]\nEnvironment=A=1 B=1 C=1\n")
    _write(tmp_path, f"{ETC}/a.service.d/10.conf", "[Service]\nEnvironment=A=2 B=2\n")
    _write(tmp_path, f"{LIB}/a.service.d/20.conf", "[Service]\nEnvironment=A=3\n")
    _write(tmp_path, f"{LIB}/a.service.d/10.conf", "[Service]\nEnvironment=A=hidden D=hidden\n")
    _write(tmp_path, f"{ETC}/a.service.d/README", "[Service]\nEnvironment=A=4\n")
    assert {name: value for (_, name), (value, _, _) in _given(tmp_path).items()} == {"A": "3", "B": "2", "C": "1"}


def test_an_empty_assignment_resets(tmp_path: Path) -> None:
    _write(tmp_path, "f", "F=1\n")
    _write(
        tmp_path,
        f"{ETC}/a.service",
        "[Service]\nEnvironment=A=1\nEnvironmentFile=/f\nEnvironment=\nEnvironmentFile=\nEnvironment=B=1\n",
    )
    assert _given(tmp_path).keys() == {("a.service", "B")}


def test_a_file_overrides_and_unset_takes_away(tmp_path: Path) -> None:
    _write(tmp_path, "etc/default/a", "# c\nA=file\nC=3\n")
    text = (
        "[Service]\nEnvironmentFile=-/etc/default/%p\nEnvironment=A=unit\nEnvironment=B=1 D=4\nUnsetEnvironment=B D=5\n"
    )
    _write(tmp_path, f"{ETC}/a.service", text)
    assert _given(tmp_path) == {
        ("a.service", "A"): ("file", "/etc/default/a", 2),
        ("a.service", "C"): ("3", "/etc/default/a", 3),
        ("a.service", "D"): ("4", f"/{ETC}/a.service", 4),
    }


def test_patterns_of_files_are_expanded_and_missing_ones_ignored(tmp_path: Path) -> None:
    _write(tmp_path, "etc/env/1.env", "A=1\nB=1\n")
    _write(tmp_path, "etc/env/2.env", "A=2\n")
    _write(tmp_path, f"{ETC}/a.service", "[Service]\nEnvironmentFile=/etc/env/*.env\nEnvironmentFile=/etc/missing\n")
    assert _given(tmp_path) == {
        ("a.service", "A"): ("2", "/etc/env/2.env", 1),
        ("a.service", "B"): ("1", "/etc/env/1.env", 2),
    }


def test_other_sections_and_other_files_are_not_read(tmp_path: Path) -> None:
    _write(tmp_path, f"{ETC}/a.service", "[Unit]\nEnvironment=A=1\n[Install]\nEnvironment=B=1\n")
    _write(tmp_path, f"{ETC}/a.timer", "[Service]\nEnvironment=C=1\n")
    assert units.read(str(tmp_path))[:2] == ([], 1)


def test_an_alias_is_not_a_second_unit_and_a_mask_hides(tmp_path: Path) -> None:
    _write(tmp_path, f"{LIB}/a.service", "[Service]\nEnvironment=A=1\n")
    _write(tmp_path, f"{LIB}/b.service", "[Service]\nEnvironment=B=1\n")
    _write(tmp_path, "opt/c.service", "[Service]\nEnvironment=C=1\n")
    _write(tmp_path, f"{ETC}/x", "")
    (tmp_path / ETC / "alias.service").symlink_to(tmp_path / LIB / "a.service")
    (tmp_path / ETC / "b.service").symlink_to("/dev/null")
    (tmp_path / ETC / "c.service").symlink_to(tmp_path / "opt/c.service")
    assert _given(tmp_path).keys() == {("a.service", "A"), ("c.service", "C")}


def test_lib_that_is_a_link_to_usr_lib_is_read_once(tmp_path: Path) -> None:
    _write(tmp_path, f"{LIB}/a.service", "[Service]\nEnvironment=A=1\n")
    (tmp_path / "lib").symlink_to("usr/lib")
    assert _given(tmp_path) == {("a.service", "A"): ("1", f"/{LIB}/a.service", 2)}
    assert units.read(str(tmp_path)).files == 1


def test_a_drop_in_for_all_services_stands_for_itself(tmp_path: Path) -> None:
    _write(tmp_path, f"{ETC}/service.d/proxy.conf", "[Service]\nEnvironment=HTTPS_PROXY=http://h\n")
    _write(tmp_path, f"{ETC}/a.service", "[Service]\n")
    assert _given(tmp_path).keys() == {("service", "HTTPS_PROXY")}


def test_the_files_of_all_instances_of_a_template_count_and_none_overrides_another(tmp_path: Path) -> None:
    _write(tmp_path, f"{ETC}/oe@.service", "[Service]\nEnvironment=A=0\nEnvironmentFile=-/etc/oe/%i.env\n")
    _write(tmp_path, "etc/oe/one.env", "A=1\n")
    _write(tmp_path, "etc/oe/two.env", "A=2\n")
    _write(tmp_path, "etc/oe/.hidden.env", "A=3\n")
    reading = units.read(str(tmp_path))
    assert not reading.failures
    assert sorted((one.value, one.path) for one in reading.given) == [
        ("0", f"/{ETC}/oe@.service"),
        ("1", "/etc/oe/one.env"),
        ("2", "/etc/oe/two.env"),
    ]


def test_a_file_that_can_be_anywhere_is_a_failure(tmp_path: Path) -> None:
    _write(tmp_path, f"{ETC}/a@.service", "[Service]\nEnvironmentFile=%I/x.env\n")
    assert units.read(str(tmp_path)).failures == ["EnvironmentFile=%I/x.env of a@.service: can be anywhere"]


def test_what_env_assigns_in_front_of_the_program_counts(tmp_path: Path) -> None:
    _write(tmp_path, f"{ETC}/a.service", '[Service]\nExecStart=/usr/bin/env A=1 "B=2 3" node C=4\nEnvironment=A=0\n')
    assert _given(tmp_path) == {
        ("a.service", "A"): ("1", f"/{ETC}/a.service", 2),
        ("a.service", "B"): ("2 3", f"/{ETC}/a.service", 2),
    }


def test_what_is_not_read_is_said(tmp_path: Path) -> None:
    _write(tmp_path, f"{ETC}/a.service", "[Service]\n")
    (blind,) = units.read(str(tmp_path)).blind
    assert "DefaultEnvironment=" in blind
    assert "user units" in blind


def test_a_unit_or_a_pattern_that_leads_to_a_dead_mount_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mount does not exist: had it been walked into, the file would merely be missing."""
    root = [mount for mount in foreign_path.mounts(os.getpid()) if mount.point == "/"][-1]
    table = [*foreign_path.mounts(os.getpid()), foreign_path.Mount(-2, "/far", "nfs4", root.id)]
    monkeypatch.setattr(foreign_path, "mounts", lambda _: table)
    _write(tmp_path, f"{ETC}/a.service", "[Service]\nEnvironmentFile=/link/*.env\n")
    (tmp_path / ETC / "b.service").symlink_to("/far/b.service")
    (tmp_path / "link").symlink_to("/far/x")
    message = "on a nfs4 file system, which is not read"
    assert units.read(str(tmp_path)).failures == [f"/link: {message}", f"/{ETC}/b.service: {message}"]


def test_what_cannot_be_read_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkdir(tmp_path / "fifo-here")
    os.mkfifo(tmp_path / "fifo")
    _write(tmp_path, f"{ETC}/a.service", "[Service]\nEnvironmentFile=/fifo\nEnvironmentFile=/dev/null\n")
    _write(tmp_path, f"{ETC}/b.service", "#" * 100)
    monkeypatch.setattr(units, "_LIMIT", 90)
    assert units.read(str(tmp_path)).failures == ["/fifo: not a regular file", f"/{ETC}/b.service: more than 90 bytes"]
