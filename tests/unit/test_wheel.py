"""The wheel alone, far from any checkout: it brings its rules, its types and its command."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, and unpack it where nothing of the checkout is near."""
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place / "site")
    return place / "site"


def test_a_wheel_finds_its_own_rules_and_settings(installed: Path, tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "from airgap_check import rulebook; print(rulebook.shipped())\n"
        "from airgap_check.objectos import catalogue; print(len(catalogue.load().variables) > 100)\n"
        "from airgap_check.reporters import html_report; print(html_report._own('page.jinja')[:1] != '')\n"
        "from airgap_check.cli import main; sys.exit(main(['rules', 'check']))\n"
    )
    # Coverage is of the checkout; what is unpacked here would count as code that nobody tests.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    command = [sys.executable, "-I", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    place, knows, draws, said = done.stdout.splitlines()
    assert knows == draws == "True"
    assert place == str(installed / "airgap_check" / "rules")
    count = len(list((ROOT / "rules").glob("*/*.yaml")))
    assert said == f"{count} rules: no fault"


def test_a_wheel_names_its_command_its_licence_and_that_it_is_typed(installed: Path) -> None:
    (information,) = installed.glob("*.dist-info")
    assert "airgap-check = airgap_check.__main__:console" in (information / "entry_points.txt").read_text()
    assert "Apache License" in (information / "licenses" / "LICENSE").read_text()
    assert (installed / "airgap_check" / "py.typed").exists()
    assert not list(installed.glob("tests*"))
