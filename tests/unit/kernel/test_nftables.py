from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING, Self

import pytest

from airgap_check.kernel import netlink, nftables
from airgap_check.kernel.nftables import Chain, Key, Ruleset, SharedCounter
from tests.unit.kernel import nft_bytes as nft

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)


def empty() -> Ruleset:
    return Ruleset(1, {}, {}, [], {}, {})


def test_everything_is_kept_under_its_table() -> None:
    found = empty()
    data = nft.table(handle=4) + nft.chain("out", 3, policy=0, packets=6, handle=2) + nft.chain("other", handle=3)
    data += nft.rule("out", 9, nft.counter(1), nft.DROP) + nft.counter_object("named", 5, handle=8)
    assert nftables.parse(data + DONE, found)
    assert found.tables == {(1, "filter"): 4}
    assert found.chains == {
        Key(1, "filter", "out"): Chain(2, 3, drops=True, packets=6),
        Key(1, "filter", "other"): Chain(3, None, drops=False, packets=None),
    }
    assert [(rule.chain.name, rule.handle, rule.action.packets) for rule in found.rules] == [("out", 9, 1)]
    assert found.counters == {Key(1, "filter", "named"): SharedCounter(8, 5)}


def test_a_rule_that_does_nothing_of_interest_is_not_kept() -> None:
    found = empty()
    nftables.parse(nft.rule("out", 9, nft.counter(1), nft.ACCEPT), found)
    assert found.rules == []


def test_a_quota_is_no_counter() -> None:
    found = empty()
    nftables.parse(nft.message(nft.OBJECT, nft.text(1, "t"), nft.text(2, "q"), nft.be32(3, 2)), found)
    assert found.counters == {}


def test_a_message_without_its_header_is_an_error() -> None:
    with pytest.raises(OSError, match="makes no sense"):
        nftables.parse(struct.pack("=IHHII", 16, 10 << 8 | nft.RULE, 2, 1, 0), empty())


def test_a_refusal_of_the_kernel_is_raised() -> None:
    with pytest.raises(PermissionError):
        nftables.parse(struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -errno.EPERM), empty())


def test_a_ruleset_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nftables, "_MOST", 3)
    data = b"".join(nft.rule("out", number, nft.DROP) for number in range(4))
    with pytest.raises(OSError, match="more than 3 entries") as caught:
        nftables.parse(data, empty())
    assert caught.value.errno == errno.E2BIG


def test_a_name_that_is_no_text_can_be_asked_for() -> None:
    found = empty()
    nftables.parse(nft.message(nft.TABLE, nft.attribute(1, b"t\xff\0"), nft.be64(4, 1)), found)
    ((_, name),) = found.tables
    assert b"t\xff\0" in nftables._string(1, name)


class Kernel:
    """Answers requests by message type; a list of generations is worked through."""

    def __init__(self, answers: dict[int, bytes], generations: list[int]) -> None:
        self.answers, self.generations = answers, generations

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def dump(self, _channel: object, request: bytes, consume: Callable[[memoryview], bool]) -> None:
        kind = struct.unpack_from("=H", request, 4)[0] & 0xFF
        if kind == 16:
            consume(memoryview(nft.message(15, nft.be32(1, self.generations.pop(0)))))
        else:
            assert consume(memoryview(self.answers.get(kind, b"") + DONE))


def play(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> None:
    monkeypatch.setattr(netlink, "connect", lambda _: kernel)
    monkeypatch.setattr(netlink, "dump", kernel.dump)
    monkeypatch.setattr(nftables, "_answers", lambda: True)


def test_a_map_that_a_rule_uses_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {7: nft.rule("out", 1, nft.by_map("map")), 13: nft.elements(nft.verdict(0), nft.verdict(1))}
    play(monkeypatch, Kernel(answers, [5, 5]))
    found = nftables.read()
    assert found is not None
    assert [said.drops for said in found.maps[Key(1, "filter", "map")]] == [True]


def test_a_ruleset_that_changes_meanwhile_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, Kernel({}, [5, 6, 6, 6]))
    found = nftables.read()
    assert found is not None
    assert found.generation == 6


def test_a_ruleset_that_never_stands_still_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, Kernel({}, list(range(20))))
    with pytest.raises(InterruptedError):
        nftables.read()


@pytest.mark.parametrize("number", [errno.EPROTONOSUPPORT, errno.EPERM])
def test_a_kernel_without_netfilter_has_no_rules(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(netlink, "connect", refuse)
    monkeypatch.setattr(nftables, "_answers", lambda: True)
    if number == errno.EPERM:
        with pytest.raises(PermissionError):
            nftables.read()
    else:
        assert nftables.read() is None


def _lay(monkeypatch: pytest.MonkeyPatch, folder: Path, *, modules: str | None, builtin: str | None) -> None:
    monkeypatch.setattr(nftables, "_LOADED", str(folder / "nf_tables"))
    monkeypatch.setattr(nftables, "_MODULES", str(folder / "modules"))
    monkeypatch.setattr(nftables, "_BUILT_IN", str(folder / "builtin-{}"))
    release = os.uname().release
    for name, content in (("modules", modules), (f"builtin-{release}", builtin)):
        if content is not None:
            (folder / name).write_text(content)


@pytest.mark.parametrize(
    ("modules", "builtin", "answers"),
    [
        (None, None, True),  # a kernel without modules
        ("nf_tables 1 2 - Live 0x0\n", None, True),
        ("ext4 1 2 - Live 0x0\n", "kernel/net/netfilter/nf_tables.ko\n", True),
        ("nf_tables_set 1 2 - Live 0x0\n", "kernel/fs/ext4/ext4.ko\n", False),
    ],
)
def test_a_kernel_that_would_have_to_load_it_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, modules: str | None, builtin: str | None, *, answers: bool
) -> None:
    _lay(monkeypatch, tmp_path, modules=modules, builtin=builtin)
    assert nftables._answers() is answers
    if not answers:
        assert nftables.read() is None


def test_where_nobody_can_tell_nothing_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _lay(monkeypatch, tmp_path, modules="", builtin=None)
    with pytest.raises(FileNotFoundError, match="whether nftables is built in"):
        nftables.read()
