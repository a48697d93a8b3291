"""Units say to systemd what was meant, with no more rights than what they run needs."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.errors import UsageError
from airgap_check.scheduling import hardening, unit
from airgap_check.scheduling.task import Task

if TYPE_CHECKING:
    from pathlib import Path


def task(**changes: Any) -> Task:
    return Task(**{"argv": ("/usr/bin/python3", "-I", "-m", "airgap_check", "audit"), "every": 300, **changes})


def unquoted(text: str) -> str:
    """Read a word as systemd does (systemd.syntax(7), systemd.service(5))."""
    if text.startswith('"'):
        assert text.endswith('"')
        text = text[1:-1]
        pieces = iter(text)
        text = "".join(next(pieces) if char == "\\" else char for char in pieces)
    assert "%" not in text.replace("%%", "")
    assert "$" not in text.replace("$$", "")
    return text.replace("%%", "%").replace("$$", "$")


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1))
def test_a_word_stands_for_itself(word: str) -> None:
    assert unquoted(unit.command(("/x", word)).removeprefix("/x ")) == word


def test_a_dollar_in_the_path_of_the_program_is_one() -> None:
    assert unit.command(("/opt/50% $x/python", "$x")) == '"/opt/50%% $x/python" $$x'


@pytest.mark.parametrize("word", ["two\nlines", "\x1b[31m", "\x00"])
def test_what_no_unit_can_hold_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="printable"):
        unit.render(task(argv=("/x", word)))
    with pytest.raises(UsageError, match="printable"):
        unit.render(task(writes=(f"/x/{word}",)))


def test_a_program_that_systemd_would_not_start_is_refused() -> None:
    with pytest.raises(UsageError, match="quote or a backslash"):
        unit.render(task(argv=("/opt/it's/python", "audit")))


def test_an_audit_has_fewer_rights_than_a_watch() -> None:
    assert hardening.AUDIT_CAPABILITIES.keys() < hardening.WATCH_CAPABILITIES.keys()
    audit, watch = unit.render(task())[unit.SERVICE], unit.render(task(watches=True))[unit.WATCH]
    assert "CAP_NET_RAW" not in audit
    assert "CAP_NET_RAW" in watch
    assert "CAP_SETUID" not in watch
    assert "CAP_SETUID" in unit.render(task(watches=True, alerts=True))[unit.WATCH]


def test_only_what_has_to_be_written_can_be() -> None:
    text = unit.render(task(writes=("/srv/a b", "/srv/50%"), state="/srv/state"))[unit.SERVICE]
    assert "ProtectSystem=strict" in text
    assert [line for line in text.splitlines() if line.startswith("ReadWritePaths")] == [
        'ReadWritePaths="/srv/a b"', "ReadWritePaths=/srv/50%%", "ReadWritePaths=/srv/state",
    ]  # fmt: skip
    assert "StateDirectory" not in text
    assert "StateDirectory=airgap-check\n" in unit.render(task())[unit.SERVICE]


def test_the_timer_keeps_the_distance() -> None:
    text = unit.render(task(every=90))[unit.TIMER]
    assert "OnUnitActiveSec=90s\n" in text
    assert "AccuracySec=9s\n" in text


def test_a_watch_is_restarted_but_for_a_policy_that_stays_invalid() -> None:
    text = unit.render(task(watches=True))[unit.WATCH]
    for line in ("Type=notify", "WatchdogSec=10min", "Restart=always", "RestartPreventExitStatus=2"):
        assert f"\n{line}\n" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("watches", [False, True])
def test_systemd_understands_every_line(tmp_path: Path, *, watches: bool) -> None:
    files = unit.render(
        task(argv=("/bin/sh", "a b", "50%", '"$x"'), watches=watches, alerts=True, writes=("/srv/a b",))
    )
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / name) for name in files)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not [line for line in done.stderr.splitlines() if "airgap" in line], done.stderr
