"""A line for cron says to the shell, through cron, what was meant."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.errors import UsageError
from airgap_check.scheduling import crontab
from airgap_check.scheduling.task import Task

WORDS = st.lists(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=20), max_size=5)


def line(every: int = 300, *words: str) -> str:
    return crontab.render(Task(argv=("/opt/airgap-check", *words), every=every)).splitlines()[-1]


@pytest.mark.parametrize(
    ("seconds", "times"),
    [(60, "* * * * *"), (300, "*/5 * * * *"), (1800, "*/30 * * * *"), (3600, "0 * * * *"), (7200, "0 */2 * * *"),
     (86400, "0 0 * * *")],
)  # fmt: skip
def test_a_distance_becomes_fields(seconds: int, times: str) -> None:
    assert line(seconds) == f"{times} root /opt/airgap-check"


@pytest.mark.parametrize("seconds", [30, 90, 420, 5 * 3600, 48 * 3600])
def test_a_distance_that_cron_cannot_keep_is_refused(seconds: int) -> None:
    with pytest.raises(UsageError, match="try 5m"):
        line(seconds)


@given(WORDS)
def test_the_shell_gets_the_words_as_they_were(words: list[str]) -> None:
    if not all(word.isprintable() for word in words):
        with pytest.raises(UsageError):
            line(60, *words)
        return
    command = line(60, *words).removeprefix("* * * * * root ")
    assert "%" not in command.replace("\\%", "")
    # cron takes the backslash before a percent sign away, and hands the rest to the shell.
    assert shlex.split(command.replace("\\%", "%")) == ["/opt/airgap-check", *words]


def test_what_cron_would_cut_is_refused() -> None:
    with pytest.raises(UsageError, match="cron takes"):
        line(60, "x" * 1000)


def test_cron_keeps_no_service() -> None:
    with pytest.raises(UsageError, match="--systemd"):
        crontab.render(Task(argv=("/x",), every=60, watches=True))
