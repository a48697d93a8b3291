from __future__ import annotations

import errno
import os
import struct
from contextlib import ExitStack
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from airgap_check.evidence import EntryUse
from airgap_check.kernel import procfs
from airgap_check.kernel.bpf import BpfError
from airgap_check.kernel.btf import ExecutableOffsets, PidOffsets, StartOffsets
from airgap_check.kernel.cgroup2 import Root
from airgap_check.kernel.programs import event
from airgap_check.kernel.programs.held import Held
from airgap_check.kernel.programs.identity import Identity as Who
from airgap_check.kernel.programs.identity import PidNamespace
from airgap_check.kernel.programs.tables import Use
from airgap_check.kernel.sieve import NOTHING, Sieve
from airgap_check.observers import attachment, holders, uses
from airgap_check.observers.attachment import CONNECTS, Attachment
from airgap_check.observers.attempts import Attempts
from airgap_check.observers.observer import Epoch, UnobservableError
from tests.unit.observers.test_tally import UNIT, Someone, packed, seen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.kernel.programs.event import Event
    from airgap_check.kernel.programs.held import Walk
    from airgap_check.kernel.programs.tables import Repeat, Tables
    from airgap_check.observers.identity import Identity

INSIDE = PidNamespace(4, 4026532281)
WHOLE = Root(-1, "/cgroup", is_whole=True, scope="every process of this host")
PART = Root(-1, "/cgroup/some", is_whole=False, scope="the processes below /cgroup/some")


class Kernel:
    """Stands for the maps and the walk: what the programs would have written."""

    def __init__(self) -> None:
        self.waiting: list[Event] = []
        self.rows: list[Held] = []
        self.used: list[Use] = []
        self.overrun = self.unused = self.walks = 0
        self.closed: list[str] = []
        self.root = WHOLE
        self.hooks = CONNECTS | {event.EGRESS}
        self.uses_made = SimpleNamespace(drain=self._drain)
        self.events = SimpleNamespace(fileno=lambda: 99, read=self._read)

    def _read(self, limit: int) -> Iterator[bytes]:
        now, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return map(_encoded, now)

    def lost(self) -> int:
        return self.overrun

    def uncounted(self) -> int:
        return self.unused

    def counts(self) -> Iterator[Repeat]:
        return iter(())

    def uses(self) -> list[Use]:
        return self.used

    def _drain(self, *, delete: bool) -> Iterator[tuple[bytes, bytes]]:
        assert delete
        taken, self.used = self.used, []
        return ((struct.pack("=QQ", *use[:2]), struct.pack("=Q", use.times)) for use in taken)

    def walk(self) -> Iterator[Held]:
        self.walks += 1
        return iter(self.rows)


def _encoded(one: Event) -> bytes:
    *before, command, inode, device = one._replace(port=cast("int", one.port.to_bytes(2, "big")))
    return event._LAYOUT.pack(*before, inode, device, command.ljust(16, b"\0"))


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()

    def attach(directory: str | None, _: Sieve) -> Attachment:
        programs, maps = ExitStack(), ExitStack()
        programs.callback(made.closed.append, "programs")
        maps.callback(made.closed.append, "maps")
        walk = cast("Walk", SimpleNamespace(rows=made.walk))
        return Attachment(
            PART if directory else made.root, cast("Tables", made), programs, maps, made.hooks, walk,
            names_processes=True, in_initial_pids=True, blind=("something",),
        )  # fmt: skip

    monkeypatch.setattr(attachment, "attach", attach)
    monkeypatch.setattr(holders, "_pids_below", lambda _: {42})
    return made


def observer(directory: str | None = None, sieve: Sieve = NOTHING, **how: Any) -> Attempts:
    someone = Someone()
    someone.failures = list  # type: ignore[attr-defined]
    return Attempts(directory, sieve, Epoch(datetime.now(UTC), 0, 0), cast("Identity", someone), **how)


def held(cookie: int = 99, pid: int = 42, kind: int = 3, protocol: int = 1) -> Held:
    return Held(7, 10, cookie, pid, 3, 2, protocol, kind, 7, 0, 0, 5, packed("0.0.0.0"), packed("0.0.0.0"))


def packet(**fields: Any) -> Event:
    facts: dict[str, Any] = {"hook": event.EGRESS, "protocol": 1, "port": 0, "pid": 0, "started": 0, "command": b""}
    return seen(**(facts | fields))


@pytest.mark.parametrize(
    ("who", "told"),
    [
        (Who(), []),
        (Who(pid=False), ["which process it was (the kernel cannot tell it in our pid namespace)"]),
        (Who(pid_namespace=INSIDE), ["which process it was, where that is not in our pid namespace itself"]),
        (
            Who(pid_namespace=INSIDE, pid_offsets=PidOffsets(*range(8))),
            ["which process it was, where that is not in our pid namespace, nor in one inside it"],
        ),
    ],
)
def test_which_processes_cannot_be_named_is_said(who: Who, told: list[str]) -> None:
    offsets: dict[str, Any] = {"start_offsets": StartOffsets(8, 16), "executable_offsets": ExecutableOffsets(*range(6))}
    assert attachment._without({}, who._replace(**offsets)) == told


def test_the_whole_host_without_a_loss_is_complete(kernel: Kernel) -> None:
    kernel.waiting = [seen(), seen("203.0.113.2")]
    watching = observer()
    evidence = watching.finish()
    assert (evidence.status, evidence.reason, evidence.lost) == ("complete", "", 0)
    assert evidence.scope == "the attempts of every process of this host"
    assert evidence.blind == ("something",)
    assert len(evidence.records) == 2
    assert evidence.counts == {
        "events": 2, "distinct": 2, "repeats": 0, "replies": 0, "own": 0, "approved": 0, "self": 0, "kernel": 0,
        "self_test": 0, "uses_uncounted": 0,
    }  # fmt: skip
    assert kernel.closed == ["programs", "maps"]
    assert watching.finish() is evidence


def test_the_part_that_was_asked_for_is_complete_and_named(kernel: Kernel) -> None:
    del kernel
    evidence = observer("/cgroup/some").finish()
    assert (evidence.status, evidence.scope) == ("complete", "the attempts of the processes below /cgroup/some")


def test_a_part_that_nobody_asked_for_is_partial(kernel: Kernel) -> None:
    kernel.root = PART
    evidence = observer().finish()
    assert (evidence.status, evidence.reason) == ("partial", "only the processes below /cgroup/some were observed")


def test_without_what_sees_raw_sockets_it_is_partial(kernel: Kernel) -> None:
    kernel.hooks = CONNECTS
    evidence = observer().finish()
    assert (evidence.status, evidence.reason) == ("partial", "what raw and ping sockets send was not seen")


def test_every_loss_is_counted_and_said(kernel: Kernel) -> None:
    kernel.overrun = 5
    kernel.waiting = [seen(f"203.0.113.{number}") for number in range(4)]
    evidence = observer(limit=3).finish()
    assert (evidence.status, evidence.lost, len(evidence.records)) == ("partial", 6, 3)
    assert evidence.reason == (
        "5 attempts were lost: they came faster than they could be read; "
        "1 attempts were lost: more than 3 different ones"
    )


def test_uses_that_were_not_counted_are_a_blind_spot_of_the_entries_only(kernel: Kernel) -> None:
    kernel.unused = 2
    evidence = observer().finish()
    assert (evidence.status, evidence.lost, evidence.counts["uses_uncounted"]) == ("complete", 0, 2)
    assert evidence.blind[-1] == "whether an entry that seems unused is: 2 uses were not counted"


def test_the_self_test_of_another_run_is_counted_only(kernel: Kernel) -> None:
    kernel.waiting = [seen(cgroup=666), seen(cgroup=666, at=5), seen()]
    evidence = observer().finish()
    assert (evidence.counts["self_test"], len(evidence.records)) == (2, 1)


def test_a_full_ring_is_emptied_at_the_end(kernel: Kernel) -> None:
    kernel.waiting = [seen(at=number) for number in range(40_000)]
    evidence = observer().finish()
    assert evidence.counts["events"] == 40_000
    assert kernel.waiting == []


def test_what_was_set_aside_never_becomes_a_record(kernel: Kernel) -> None:
    watching = observer()
    watching.set_aside(77)
    kernel.waiting = [seen(cgroup=77), seen("203.0.113.2")]
    watching.drain()
    assert [one.cgroup for one in watching.aside()] == [77]
    assert len(watching.fresh()) == 1
    assert len(watching.finish().records) == 1


def test_what_we_ask_ourselves_is_counted_only(kernel: Kernel) -> None:
    ticks = procfs.start_ticks(os.getpid())
    assert ticks is not None
    start = ticks * procfs.TICK
    kernel.waiting = [seen(pid=os.getpid(), started=start), seen(pid=os.getpid(), started=start + 20_000_000)]
    evidence = observer().finish()
    assert (evidence.counts["self"], len(evidence.records)) == (1, 1)


def test_the_maker_of_an_old_socket_is_who_holds_it(kernel: Kernel) -> None:
    kernel.rows = [held(), held(cookie=98, pid=43, kind=1, protocol=6)]
    kernel.waiting = [packet(), packet(address=packed("203.0.113.2"), cookie=98)]
    watching = observer()
    evidence = watching.finish()
    pids = {
        str(record.remote.address): record.process and record.process.pid
        for record in cast("tuple[Any, ...]", evidence.records)
    }
    assert pids == {"203.0.113.1": 42, "203.0.113.2": None}
    assert watching.held() == kernel.rows


def test_an_answer_of_the_kernel_is_no_attempt_but_that_of_a_process_is(kernel: Kernel) -> None:
    kernel.rows = [held()]
    kernel.waiting = [
        packet(flags=event.HOUSEKEEPING),
        packet(flags=event.HOUSEKEEPING, cookie=1, address=packed("203.0.113.2")),
    ]
    evidence = observer().finish()
    assert evidence.counts["kernel"] == 1
    assert [cast("Any", record).remote.address for record in evidence.records] == ["203.0.113.1"]


def test_holders_are_looked_for_again_but_not_for_every_packet(kernel: Kernel) -> None:
    kernel.waiting = [packet(cookie=number) for number in range(50)]
    observer().finish()
    assert kernel.walks == 2  # at the start, and once


def test_only_sockets_of_the_observed_processes_are_held(kernel: Kernel) -> None:
    kernel.rows = [held(), held(pid=1234)]
    watching = observer("/cgroup/some")
    assert watching.held() == [held()]
    watching.close()


def test_uses_are_told_by_entry_and_workload(kernel: Kernel) -> None:
    kernel.used = [Use(0b0110, 5, 3), Use(0b0010, 6, 4)]
    sieve = Sieve({}, {}, (("first", "alias"), ("second",)), "")
    evidence = observer(sieve=sieve).finish()
    assert {(use.entry, use.count) for use in evidence.of(EntryUse)} == {("first", 7), ("alias", 7), ("second", 3)}
    assert {use.workload for use in evidence.of(EntryUse)} == {UNIT}
    assert evidence.counts["approved"] == 7


def test_uses_are_taken_out_of_the_table_before_it_is_full(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uses, "_FULL", 3)
    sieve = Sieve({}, {}, (("first",),), "")
    watching = observer(sieve=sieve)
    for number in range(10):
        kernel.used.append(Use(0b10, number, 1))
        watching._next_look = 0.0
        watching.drain()
        assert len(kernel.used) < 3
    evidence = watching.finish()
    assert [(use.entry, use.count) for use in evidence.of(EntryUse)] == [("first", 10)]
    assert evidence.counts["approved"] == 10


def test_beyond_a_number_of_workloads_uses_are_told_without(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uses, "_WHO", 1)
    kernel.used = [Use(0b10, 1, 3), Use(0b100, 1, 4), Use(0b10, 2, 5)]
    evidence = observer(sieve=Sieve({}, {}, (("first",), ("second",)), "")).finish()
    assert {(use.entry, use.workload, use.count) for use in evidence.of(EntryUse)} == {
        ("first", UNIT, 8),
        ("second", None, 4),
    }


def test_after_the_end_nothing_is_polled_or_read(kernel: Kernel) -> None:
    watching = observer()
    assert watching.filenos() == (99,)
    watching.close()
    watching.close()
    kernel.waiting = [seen()]
    watching.drain()
    assert watching.filenos() == ()
    assert kernel.waiting == [seen()]
    assert kernel.closed == ["programs", "maps"]


def test_only_linux_shows_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap_check.observers.attachment.sys", SimpleNamespace(platform="darwin"))
    with pytest.raises(UnobservableError, match="attempts: only Linux shows them"):
        attachment.attach(None, NOTHING)


@pytest.mark.parametrize(
    ("number", "capabilities", "told"),
    [
        (errno.EPERM, 0, "may not load eBPF programs (CAP_BPF and CAP_NET_ADMIN are missing)"),
        (errno.EPERM, 1 << 39, "may not load eBPF programs (CAP_NET_ADMIN is missing)"),
        (errno.ENOSYS, 0, "this kernel has no bpf(2)"),
        (errno.EINVAL, 0, "this kernel lacks what is needed: Linux 5.8 or later, with BPF for cgroups"),
    ],
)
def test_a_refusal_is_one_line(monkeypatch: pytest.MonkeyPatch, number: int, capabilities: int, told: str) -> None:
    def refuse() -> Tables:
        raise BpfError(number, "create map")

    status = f"Name:\tx\nCapEff:\t{capabilities:016x}\n".encode()
    monkeypatch.setattr("airgap_check.observers.attachment.procfs.read", lambda *_: status)
    root = WHOLE._replace(descriptor=os.open("/", os.O_RDONLY))
    monkeypatch.setattr("airgap_check.observers.attachment.cgroup2.open_root", lambda _: root)
    monkeypatch.setattr(attachment, "Tables", refuse)
    with pytest.raises(UnobservableError) as caught:
        attachment.attach(None, NOTHING)
    assert str(caught.value).startswith(f"attempts: {told}")
    assert "\n" not in str(caught.value)
