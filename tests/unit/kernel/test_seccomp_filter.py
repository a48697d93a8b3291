from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from airgap_check.kernel.seccomp_filter import ALLOW, MACHINES, NOTIFY, REFUSE, build
from tests.unit.kernel.classic_machine import Machine

if TYPE_CHECKING:
    from airgap_check.kernel import seccomp_filter

X86, ARM = MACHINES["x86_64"], MACHINES["aarch64"]
both = pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
X32 = 0x40000000
BEYOND = 1 << 32
INET, PACKET, XDP, STREAM = 2, 17, 44, 1


def verdict(machine: seccomp_filter.Machine, number: int, *arguments: int, architecture: int | None = None) -> int:
    """Run the filter over a struct seccomp_data, as a little-endian kernel lays it out."""
    given = [*arguments, *[0] * (6 - len(arguments))]
    words = struct.pack("<IIQ6Q", number, machine.architecture if architecture is None else architecture, 0, *given)
    # The judge reads packets, which have another byte order than the words of the kernel.
    swapped = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
    return Machine(swapped, 0, 0, 0).run(build(machine))


def numbers(machine: seccomp_filter.Machine) -> dict[str, int]:
    return {name: number for number, name in machine.calls.items()}


@both
@pytest.mark.parametrize("name", ["connect", "sendmsg", "sendmmsg"])
def test_who_connects_or_sends_messages_is_told(machine: seccomp_filter.Machine, name: str) -> None:
    assert verdict(machine, numbers(machine)[name]) == NOTIFY


@both
@pytest.mark.parametrize(("address", "expected"), [(0, ALLOW), (1, NOTIFY), (BEYOND, NOTIFY), (0x7FFE12345678, NOTIFY)])
def test_a_send_is_told_where_it_has_an_address(machine: seccomp_filter.Machine, address: int, expected: int) -> None:
    assert verdict(machine, numbers(machine)["sendto"], 3, 9, 9, 0, address, 16) == expected


@both
@pytest.mark.parametrize(
    ("family", "kind", "expected"),
    [
        (INET, STREAM, ALLOW), (10, 3, ALLOW), (1, 2, ALLOW), (16, 3, ALLOW), (PACKET, 3, NOTIFY), (XDP, 3, NOTIFY),
        (INET, 10, NOTIFY), (INET, 10 | 0o2000000, NOTIFY), (BEYOND | PACKET, 2, NOTIFY), (10, 10, ALLOW),
        (38, 5, ALLOW), (40, 1, NOTIFY), (BEYOND | 40, 1, NOTIFY), (31, 3, NOTIFY), (29, 3, NOTIFY), (99, 1, NOTIFY),
    ],
)  # fmt: skip
def test_sockets_for_whole_frames_are_told_and_those_of_families_that_may_lead_out(
    machine: seccomp_filter.Machine, family: int, kind: int, expected: int
) -> None:
    assert verdict(machine, numbers(machine)["socket"], family, kind, 0) == expected


@both
def test_rings_are_refused(machine: seccomp_filter.Machine) -> None:
    assert verdict(machine, 425) == REFUSE
    assert REFUSE & 0xFFFF == 38  # ENOSYS


@both
def test_every_other_call_goes_on(machine: seccomp_filter.Machine) -> None:
    told = {number for number in range(600) if verdict(machine, number, 0, 0, 0, 0, 1) != ALLOW}
    named = numbers(machine)
    assert told == {named["connect"], named["sendto"], named["sendmsg"], named["sendmmsg"], 425}


@both
def test_what_32_bit_programs_do_on_the_network_is_refused_and_nothing_else(machine: seccomp_filter.Machine) -> None:
    refused = {
        number for number in range(600) if verdict(machine, number, 17, 3, architecture=machine.foreign) == REFUSE
    }
    expected = {
        "x86_64": {102, 337, 345, 425, *range(359, 374)},
        "aarch64": {102, 365, 366, 374, 425, *range(281, 298)},
    }
    assert refused == expected["x86_64" if machine is X86 else "aarch64"]
    assert verdict(machine, 1, architecture=machine.foreign) == ALLOW


def test_what_x32_programs_do_on_the_network_is_refused() -> None:
    refused = {number for number in range(600) if verdict(X86, X32 | number) == REFUSE}
    assert refused == {*range(41, 56), 288, 299, 307, 425, *range(515, 520), 537, 538, 541, 542}
    assert verdict(X86, X32) == ALLOW


@both
def test_an_architecture_that_nobody_knows_is_refused(machine: seccomp_filter.Machine) -> None:
    assert verdict(machine, 0, architecture=0x1234) == REFUSE
