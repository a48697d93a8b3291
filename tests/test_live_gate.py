"""A live test that could not run must never look like one that passed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NOT_ROOT = "import os\nos.geteuid = lambda: 1000\n"
TESTS = """
import pytest

@pytest.mark.live
def test_of_the_network():
    assert False, "must not run"

def test_of_the_rest():
    pass
"""


def _run(folder: Path, conftest: str, tests: str, ci: str) -> tuple[int, list[str]]:
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_some.py").write_text(tests)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = live\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(folder)], cwd=folder, check=False,
        env=environment | {"CI": ci}, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout.splitlines()


@pytest.fixture
def conftest() -> str:
    return (HERE / "conftest.py").read_text()


def test_without_root_live_tests_are_skipped_by_name_and_the_summary_says_so(tmp_path: Path, conftest: str) -> None:
    code, lines = _run(tmp_path, conftest + NOT_ROOT, TESTS, ci="")
    assert code == 0
    assert any("1 live tests did not run" in line for line in lines)
    assert "test_some.py::test_of_the_network: needs root" in lines
    assert "1 passed, 1 skipped" in lines[-1]


def test_in_ci_a_live_test_that_is_skipped_is_a_failure(tmp_path: Path, conftest: str) -> None:
    code, lines = _run(tmp_path, conftest + NOT_ROOT, TESTS, ci="true")
    assert code == 1
    assert any("in CI a live test that is skipped has failed" in line for line in lines)
    assert "1 passed, 1 error" in lines[-1]


def test_in_ci_a_live_test_that_skips_itself_is_a_failure_too(tmp_path: Path, conftest: str) -> None:
    tests = TESTS.replace('assert False, "must not run"', 'pytest.skip("no server")')
    code, lines = _run(tmp_path, conftest + "why_no_live_tests = lambda: ''\n", tests, ci="true")
    assert code == 1
    assert "1 failed, 1 passed" in lines[-1]
