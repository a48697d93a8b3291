"""A run that was removed, replaced, repeated or put elsewhere is missed in the chain, and named."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from airgap_check.archive import Link, append, chain, chained, verification, write
from airgap_check.archive.chain import Known
from airgap_check.errors import UsageError
from airgap_check.history.memory import Memory, recalled
from airgap_check.history.store import Head, Store
from tests.unit.archive import archived

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airgap_check.archive.chain import Chain

CASE = archived.case(archived.VIOLATION, rules=2)


def runs(folder: Path, count: int, *, host: str = "host", before: str | None = None, first: int = 1) -> list[str]:
    """Write so many archives, each after the other, and return the digests of their manifests."""
    digests: list[str] = []
    for number in range(first, first + count):
        subject = replace(CASE.report.subject, hostname=host)
        seen = replace(CASE.inspection.subject, hostname=host)
        case = CASE._replace(
            report=replace(CASE.report, subject=subject), inspection=replace(CASE.inspection, subject=seen)
        )
        previous = digests[-1] if digests else before
        digests.append(write(str(folder / f"{host}-{number}.zip"), case, Link(previous, number), None))
    return digests


def checked(folder: Path, known: Known | None = None) -> list[Chain]:
    found = [verification.verify(str(path), None) for path in sorted(folder.iterdir())]
    return chain.check(found, known or Known())


def faults(folder: Path, known: Known | None = None) -> list[str]:
    (only,) = checked(folder, known)
    assert not only.anchored or not only.failed
    return [step.text for step in only.steps if step.status == "failed"]


def test_a_whole_chain_is_shown_but_for_its_end(tmp_path: Path) -> None:
    digests = runs(tmp_path, 4)
    (only,) = checked(tmp_path)
    assert [(step.name, step.status) for step in only.steps] == [
        ("beginning", "shown"), ("links", "shown"), ("end", "open"),
    ]  # fmt: skip
    assert digests[-1] in only.steps[-1].text
    (only,) = checked(tmp_path, Known(head=digests[-1]))
    assert only.anchored


@pytest.mark.parametrize(
    ("gone", "says"),
    [
        ({1}, "number 1 is missing before number 2"),
        ({1, 2}, "numbers 1 to 2 are missing before number 3"),
        ({2}, "number 2 is missing between number 1"),
        ({2, 3}, "numbers 2 to 3 are missing between number 1"),
    ],
    ids=str,
)
def test_a_run_that_was_removed_is_named(tmp_path: Path, gone: set[int], says: str) -> None:
    runs(tmp_path, 4)
    for number in gone:
        (tmp_path / f"host-{number}.zip").unlink()
    (told,) = faults(tmp_path)
    assert says in told


def test_an_end_that_was_cut_off_shows_where_the_head_is_known(tmp_path: Path) -> None:
    digests = runs(tmp_path, 4)
    (tmp_path / "host-4.zip").unlink()
    assert faults(tmp_path) == []
    (told,) = faults(tmp_path, Known(head=digests[3]))
    assert "is not the last" in told
    assert digests[3] in told


def test_a_run_that_breaks_by_itself_is_missed_in_the_chain(tmp_path: Path) -> None:
    runs(tmp_path, 3)
    whole = bytearray((tmp_path / "host-2.zip").read_bytes())
    whole[100] ^= 1
    (tmp_path / "host-2.zip").write_bytes(whole)
    (told,) = faults(tmp_path)
    assert "number 2 is missing" in told


def test_a_run_that_was_replaced_is_named(tmp_path: Path) -> None:
    digests = runs(tmp_path, 4)
    like = CASE._replace(tool=replace(CASE.tool, version="another"))
    write(str(tmp_path / "host-2.zip"), like, Link(digests[0], 2), None)
    (told,) = faults(tmp_path)
    assert "number 3" in told
    assert f"follows {digests[1]}, which is not number 2" in told


def test_runs_that_were_put_in_another_order_are_named(tmp_path: Path) -> None:
    digests = runs(tmp_path, 2)
    # numbers 3 and 4 written as if they had come the other way round
    write(str(tmp_path / "host-4.zip"), CASE, Link(digests[1], 4), None)
    write(str(tmp_path / "host-3.zip"), CASE, Link("a" * 64, 3), None)
    told = faults(tmp_path)
    assert len(told) == 2
    assert all("reordered" in one for one in told)


def test_a_fork_and_a_repeated_number_are_named(tmp_path: Path) -> None:
    digests = runs(tmp_path, 2)
    other = CASE._replace(tool=replace(CASE.tool, version="another"))
    write(str(tmp_path / "z.zip"), other, Link(digests[0], 2), None)
    (told,) = faults(tmp_path)
    assert f"the chain forks: number 2 ({tmp_path}/" in told
    write(str(tmp_path / "z.zip"), other, Link("b" * 64, 2), None)
    assert "the number is there twice" in "".join(faults(tmp_path))


def test_the_same_run_twice_is_named(tmp_path: Path) -> None:
    runs(tmp_path, 2)
    (tmp_path / "copy.zip").write_bytes((tmp_path / "host-2.zip").read_bytes())
    (told,) = faults(tmp_path)
    assert "is the same archive as" in told


def test_a_later_part_of_a_chain_follows_what_is_kept_elsewhere(tmp_path: Path) -> None:
    runs(tmp_path, 2, before="c" * 64, first=7)
    assert faults(tmp_path, Known(before="c" * 64)) == []
    (told,) = faults(tmp_path, Known(before="d" * 64))
    assert "does not follow" in told


def test_a_head_that_is_known_covers_the_chain_of_its_host_and_no_other(tmp_path: Path) -> None:
    runs(tmp_path, 2, host="a")
    digests = runs(tmp_path, 3, host="b")
    a, b = checked(tmp_path, Known(head=digests[-1]))
    assert (a.failed, a.steps[-1].status, a.anchored) == (False, "open", frozenset())
    assert (b.failed, b.anchored) == (False, frozenset(digests))
    assert all(one.failed for one in checked(tmp_path, Known(head="f" * 64)))


def test_a_beginning_that_is_known_is_that_of_one_host_and_says_nothing_of_others(tmp_path: Path) -> None:
    runs(tmp_path, 2, host="a", before="c" * 64, first=7)
    runs(tmp_path, 3, host="b")
    a, b = checked(tmp_path, Known(before="c" * 64))
    assert (a.failed, b.failed) == (False, False)
    assert "follows ccc" in a.steps[0].text
    assert "is the first" in b.steps[0].text
    assert all(one.failed for one in checked(tmp_path, Known(before="d" * 64)))


def test_archives_that_the_known_head_knows_nothing_of_are_named(tmp_path: Path) -> None:
    digests = runs(tmp_path, 3)
    (told,) = faults(tmp_path, Known(head=digests[0]))
    assert "number 1" in told
    assert "2 more follow that nobody knows of" in told


def test_of_a_single_run_nobody_asks_what_it_follows_but_whether_it_is_the_last(tmp_path: Path) -> None:
    digests = runs(tmp_path, 3)
    last = [verification.verify(str(tmp_path / "host-3.zip"), None)]
    (only,) = chain.check(last, Known(head=digests[2]), whole=False)
    assert [step.status for step in only.steps] == ["open", "shown", "shown"]
    assert only.anchored == {digests[2]}
    (only,) = chain.check(last, Known(head=digests[1]), whole=False)
    assert only.failed


def test_each_host_has_a_chain_of_its_own(tmp_path: Path) -> None:
    runs(tmp_path, 2, host="a")
    runs(tmp_path, 3, host="b")
    assert [(one.host.hostname, one.failed) for one in checked(tmp_path)] == [("a", False), ("b", False)]


def test_what_belongs_to_no_chain_breaks_none(tmp_path: Path) -> None:
    runs(tmp_path, 2)
    archived.archive(tmp_path / "alone.zip")
    assert faults(tmp_path) == []


def test_the_memory_gives_each_archive_its_place(tmp_path: Path) -> None:
    state, folder = tmp_path / "state", tmp_path / "archives"
    folder.mkdir()
    for number in range(1, 4):
        append(str(folder / f"{number}.zip"), CASE, None, partial(recalled, str(state)))
    with Store(str(state)) as store:
        head = chained.head(store)
    assert head is not None
    assert head.sequence == 3
    (only,) = checked(folder, Known(head=head.digest))
    assert only.anchored


def head(state: Path) -> Head | None:
    with Store(str(state)) as store:
        return chained.head(store)


def test_an_archive_that_could_not_be_written_leaves_the_chain_as_it_was(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (tmp_path / "folder.zip").mkdir()
    for name in ("1.zip", "2.zip"):
        before = head(state)
        with pytest.raises(UsageError):
            append(str(tmp_path / "folder.zip"), CASE, None, partial(recalled, str(state)))
        assert head(state) == before
        append(str(tmp_path / name), CASE, None, partial(recalled, str(state)))
        assert head(state) != before


def test_the_memory_is_free_while_the_members_are_written(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    free: list[bool] = []

    class Slow(bytes):
        """A policy whose bytes take as long as another run needs."""

        def __len__(self) -> int:
            with Store(state):
                free.append(True)
            return super().__len__()

    policy = CASE.grounds.policy
    text, policy.text = policy.text, Slow(policy.text)
    try:
        append(str(tmp_path / "a.zip"), CASE, None, partial(recalled, state))
    finally:
        policy.text = text
    assert free


def test_a_head_that_another_run_has_followed_is_not_taken_back(tmp_path: Path) -> None:
    state, archives = tmp_path / "state", tmp_path / "archives"
    recall = partial(recalled, str(state))
    (tmp_path / "folder.zip").mkdir()
    archives.mkdir()
    calls = 0

    @contextmanager
    def interrupted() -> Iterator[Memory]:
        """Hold the memory, and let another run go between the step of the head and its being taken back."""
        nonlocal calls
        calls += 1
        if calls == 2:
            append(str(archives / "2.zip"), CASE, None, recall)
        with recall() as memory:
            yield memory

    with pytest.raises(UsageError):
        append(str(tmp_path / "folder.zip"), CASE, None, interrupted)
    now = head(state)
    assert now is not None
    assert now.sequence == 2
    (told,) = faults(archives, Known(head=now.digest))
    assert "number 1 is missing before number 2" in told


def test_where_the_head_cannot_be_kept_the_archive_belongs_to_no_chain_and_says_why(tmp_path: Path) -> None:
    @contextmanager
    def full() -> Iterator[Memory]:
        with recalled(str(tmp_path / "state")) as memory:
            assert memory.store
            memory.store.unwritable = "the disk is full"
            yield memory

    written = append(str(tmp_path / "a.zip"), CASE, None, full)
    assert written.outside == "the disk is full"
    verified = verification.verify(str(tmp_path / "a.zip"), None)
    assert (verified.failed, verified.digest) == (False, written.digest)
    assert verified.manifest is not None
    assert verified.manifest.link() == Link(None, 0)


def test_without_a_memory_there_is_no_chain(tmp_path: Path) -> None:
    append(str(tmp_path / "a.zip"), CASE, None, partial(recalled, ""))
    verified = verification.verify(str(tmp_path / "a.zip"), None)
    assert verified.manifest is not None
    assert verified.manifest.link() == Link(None, 0)
