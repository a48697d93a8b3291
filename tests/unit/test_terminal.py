"""What a person sees: the program itself, run on a terminal of its own (pty(7)), in a pipe, plainly, in any locale."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import pytest
from rich.cells import cell_len

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

GOLDEN = "tests/golden/violations"
LONG = "x" * 150 + "-to-evil.example.com"  # a word that fits on no line of 80 columns
NONE: Mapping[str, str] = MappingProxyType({})
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Screen(NamedTuple):
    """What was written, and how it ended."""

    raw: str
    exit_code: int

    @property
    def lines(self) -> list[str]:
        return COLOUR.sub("", self.raw).splitlines()

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.lines).split())


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record what the golden violations saw, of a process whose name is long, and of one that is not ASCII."""
    with open(f"{GOLDEN}/evidence.jsonl", encoding="utf-8") as file:
        text = file.read()
    assert '"name":"curl"' in text
    path = tmp_path_factory.mktemp("seen") / "evidence.jsonl"
    path.write_text(text.replace('"name":"curl"', f'"name":"{LONG}"').replace('"name":"node"', '"name":"nöde-東京"'))
    return path


def _argv(evidence: Path, *options: str) -> list[str]:
    policy = f"{GOLDEN}/policy.yaml"
    return [sys.executable, "-m", "airgap_check", "replay", str(evidence), "--policy", policy, *options]


def _environment(more: Mapping[str, str] = NONE) -> dict[str, str]:
    coverage = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **coverage, **more}


def on_terminal(evidence: Path, *options: str, columns: int = 80, environment: Mapping[str, str] = NONE) -> Screen:
    """Run it on a terminal so wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(
        _argv(evidence, *options), stdin=theirs, stdout=theirs, stderr=theirs, env=_environment(environment)
    ) as process:
        os.close(theirs)
        raw = b"".join(_read(ours))
        code = process.wait()
    os.close(ours)
    return Screen(raw.decode("utf-8"), code)


def _read(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            part = os.read(descriptor, 1 << 16)
        except OSError:  # EIO: nobody has the other end any more
            return
        yield part


def in_pipe(evidence: Path, *options: str, environment: Mapping[str, str] = NONE) -> Screen:
    """Run it with standard output in a pipe."""
    done = subprocess.run(
        _argv(evidence, *options), capture_output=True, env=_environment(environment), check=False
    )  # fmt: skip
    assert done.stderr == b""
    return Screen(done.stdout.decode("utf-8"), done.returncode)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_terminal_gets_colours_and_lines_that_fit(evidence: Path, columns: int) -> None:
    screen = on_terminal(evidence, columns=columns)
    assert screen.exit_code == 1
    assert screen.lines[0].startswith("NOT COMPLIANT")
    assert set(re.findall(r"\x1b[^m]*(.)", screen.raw)) == {"m"}
    widths = [cell_len(line) for line in screen.lines[1:]]
    assert columns * 0.9 < max(widths) <= columns
    assert not [line for line in screen.lines if line.endswith(" ")]


@pytest.mark.parametrize("columns", [40, 80])
def test_no_word_is_cut_off_however_narrow_it_is(evidence: Path, columns: int) -> None:
    screen = on_terminal(evidence, columns=columns)
    assert "…" not in screen.raw
    assert LONG in "".join(line.strip() for line in screen.lines)


@pytest.mark.parametrize(
    ("options", "environment"),
    [((), {"NO_COLOR": "1"}), (("--no-color",), {}), ((), {"TERM": "dumb"}), (("--plain",), {})],
)
def test_who_wants_no_colour_gets_no_escape_at_all(
    evidence: Path, options: tuple[str, ...], environment: dict[str, str]
) -> None:
    screen = on_terminal(evidence, *options, environment=environment)
    assert screen.exit_code == 1
    assert "\x1b" not in screen.raw
    assert "critical" in screen.raw


def test_a_no_color_that_is_empty_says_nothing(evidence: Path) -> None:
    """As no-color.org has it: present and not an empty string."""
    assert "\x1b[" in on_terminal(evidence, environment={"NO_COLOR": ""}).raw


def test_without_colour_it_is_the_same_text(evidence: Path) -> None:
    assert on_terminal(evidence).lines == on_terminal(evidence, environment={"NO_COLOR": "1"}).lines


def test_a_pipe_gets_no_escape_and_the_same_words(evidence: Path) -> None:
    piped, shown = in_pipe(evidence), on_terminal(evidence, columns=120)
    assert "\x1b" not in piped.raw
    assert piped.lines == shown.lines
    assert piped.exit_code == shown.exit_code == 1


def test_a_terminal_that_does_not_know_its_width_is_written_to_as_a_pipe_is(evidence: Path) -> None:
    assert on_terminal(evidence, columns=0).lines == in_pipe(evidence).lines


@pytest.mark.parametrize("options", [(), ("--plain",)])
def test_the_locale_c_gets_ascii_and_loses_nothing(evidence: Path, options: tuple[str, ...]) -> None:
    screen = on_terminal(evidence, *options, environment={"LC_ALL": "C"})
    assert screen.exit_code == 1
    assert screen.raw.isascii()
    assert "n\\xf6de-\\u6771\\u4eac" in screen.raw
    assert "nöde-東京" in on_terminal(evidence, *options).raw


def test_plainly_it_is_told_alike_at_any_width_and_in_a_pipe(evidence: Path) -> None:
    narrow = on_terminal(evidence, "--plain", columns=40)
    assert narrow.lines == on_terminal(evidence, "--plain", columns=200).lines == in_pipe(evidence, "--plain").lines
    assert not [line for line in narrow.lines if line != line.strip() or "  " in line]
    assert not set("│─━┃╭╰•·…→|") & set(narrow.raw)
    assert LONG in narrow.words


def test_a_reader_who_has_seen_enough_ends_nothing_badly(evidence: Path) -> None:
    with subprocess.Popen(
        _argv(evidence), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment()
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1
