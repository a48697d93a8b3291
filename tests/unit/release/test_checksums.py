"""The checksums file is coreutils' own: written so that sha256sum reads it, read as sha256sum writes it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.release import checksums

A, B = "a" * 64, "b" * 64
_names = st.binary(min_size=1, max_size=40).map(
    lambda raw: os.fsdecode(raw.replace(b"\0", b"n").replace(b"/", b"s"))
).filter(lambda name: name not in {".", ".."})  # fmt: skip


@given(st.dictionaries(_names, st.sampled_from([A, B]), max_size=8))
def test_what_is_written_is_read_again(digests: dict[str, str]) -> None:
    assert checksums.parse(checksums.write(digests)) == (digests, ())


@given(st.binary(max_size=400))
def test_no_content_breaks_it(content: bytes) -> None:
    checksums.parse(content)
    checksums.parse(A.encode() + b"  " + content)
    checksums.parse(b"\\" + A.encode() + b"  " + content)


@pytest.mark.parametrize("options", [[], ["--binary"], ["--tag"]])
@pytest.mark.parametrize("name", ["plain", "with blank", "back\\slash", "line\nbreak", "carriage\rreturn", "\\n", "ü"])
def test_lines_of_sha256sum_are_understood(name: str, options: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, name).write_bytes(b"content")
        done = subprocess.run(["sha256sum", *options, "--", name], cwd=folder, stdout=subprocess.PIPE, check=True)
    assert checksums.parse(done.stdout) == ({name: hashlib.sha256(b"content").hexdigest()}, ())


def test_names_are_sorted_by_their_bytes_and_dots_in_front_mean_nothing() -> None:
    assert checksums.write({"b": B, "a": A, "B": B}).decode().splitlines() == [f"{B}  B", f"{A}  a", f"{B}  b"]
    assert checksums.parse(f"{A}  ./a/./b\n# made by hand\n\n".encode()).digests == {"a/b": A}


@pytest.mark.parametrize(
    "line",
    ["nothing", f"{A} a", f"{A[:-1]}  a", f"{A}  ", f"{A}  /etc/passwd", f"{A}  ../up",
     f"{A}  a/../../up", f"\\{A}  a\\t",
     f"{A}  a\n{B}  a", f"{A}  a\n{B}  ./a"],
)  # fmt: skip
def test_a_line_that_protects_nothing_is_a_fault(line: str) -> None:
    assert checksums.parse(line.encode()).faults


def test_each_difference_is_named() -> None:
    listed = {"same": A, "other": A, "gone": A, "unread": A}
    present = {"same": A, "other": B, "more": B, "unread": None}
    assert checksums.compare(listed, present) == (("other",), ("gone",), ("more",))
