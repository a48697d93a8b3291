"""Live tests run where they can; where they cannot they are skipped by name, and in CI that is a failure."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Generator

    from _pytest.terminal import TerminalReporter

# numpy's library would start threads, and some tests count those of this process.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A slow example on a busy machine is no failure.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

_IN_CI = os.environ.get("CI") == "true"
_skipped: dict[str, str] = {}


@cache
def why_no_live_tests() -> str:
    """Say what keeps live tests from running here; empty when nothing does."""
    if os.geteuid() != 0:
        return "needs root"
    try:
        made = subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"], check=False).returncode == 0
    except FileNotFoundError:
        return "needs unshare (Debian package util-linux)"
    return "" if made else "needs the right to create namespaces"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("live") and why_no_live_tests():
        pytest.skip(why_no_live_tests())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.get_closest_marker("live"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _skipped[item.nodeid] = reason.removeprefix("Skipped: ")
        if _IN_CI:
            report.outcome = "failed"
            report.longrepr = f"{reason} (in CI a live test that is skipped has failed)"
    return report


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    if not _skipped:
        return
    terminalreporter.section(f"{len(_skipped)} live tests did not run: the live behaviour is NOT tested here")
    for name, reason in _skipped.items():
        terminalreporter.line(f"{name}: {reason}")
