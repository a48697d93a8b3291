"""What a report says of the host and of the caller."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from airgap_check import host

if TYPE_CHECKING:
    import pytest


def test_the_subject_is_this_host_and_its_machine_id_is_hashed() -> None:
    subject = host.subject()
    assert subject.hostname == os.uname().nodename
    assert subject.kernel == f"Linux {os.uname().release}"
    assert subject.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    identity = Path("/etc/machine-id")
    if identity.exists() and (text := identity.read_text().strip()):
        assert subject.machine_id_hash
        assert text not in subject.machine_id_hash


def test_capabilities_have_the_names_of_the_manual_page(monkeypatch: pytest.MonkeyPatch) -> None:
    known = host.run([]).capabilities
    status = Path("/proc/self/status").read_text()
    mask = int(next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1], 16)
    assert len(known) == (mask & (1 << 41) - 1).bit_count()
    assert ("CAP_SYS_ADMIN" in known) == bool(mask >> 21 & 1)
    assert ("CAP_NET_ADMIN" in known) == bool(mask >> 12 & 1)
    assert ("CAP_BPF" in known) == bool(mask >> 39 & 1)
    monkeypatch.setenv("SUDO_USER", "admin\udcff")
    run = host.run(["audit", "--password=hunter2"])
    assert run.sudo_user
    assert run.sudo_user.isprintable()
    assert "hunter2" not in str(run.argv)
    assert run.uid == os.geteuid()


def test_the_clock_says_whether_it_is_synchronised_and_who_said_so() -> None:
    clock = host.clock()
    assert clock.source == "adjtimex"
    assert clock.synchronized in {True, False}


def test_the_digest_of_the_tool_changes_with_any_of_its_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = host.tool()
    assert host.tool() == before
    (tmp_path / "group").mkdir()
    (tmp_path / "group" / "rule.yaml").write_text("id: group.rule\n")
    monkeypatch.setattr(host, "shipped", lambda: str(tmp_path))
    assert host.tool().sha256 != before.sha256
