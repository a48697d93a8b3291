from __future__ import annotations

import socket
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from airgap_check.kernel import cgroup, mountinfo, proc_net

WORD = st.one_of(
    st.sampled_from([b"0100007F:1F90", b"00000000000000000000000001000000:0035", b"0A", b"1:", b":", b"-1", b"0x1f"]),
    st.integers(0, 1 << 70).map(lambda number: b"%d" % number),
    st.integers(0, 1 << 70).map(lambda number: b"%x" % number),
    st.binary(max_size=8),
)
LINES = st.lists(st.one_of(st.lists(WORD, max_size=14).map(b" ".join), st.binary(max_size=80)), max_size=6)


@given(LINES, st.sampled_from([socket.AF_INET, socket.AF_INET6]))
def test_any_table_yields_rows_or_an_error(lines: list[bytes], family: int) -> None:
    with suppress(OSError):
        for row in proc_net.parse(lines, family):
            assert len(row.local) == len(row.remote) == (4 if family == socket.AF_INET else 16)


@given(LINES)
def test_any_table_of_packet_sockets_yields_rows_or_an_error(lines: list[bytes]) -> None:
    with suppress(OSError):
        proc_net.parse_packet(lines)


@given(LINES)
def test_any_table_of_protocols_yields_counts(lines: list[bytes]) -> None:
    assert all(number >= 0 for number in proc_net.parse_protocols(lines).values())


NUMBER = st.one_of(st.integers(0, 300), st.integers(0, 1 << 80))
MOUNT_FIELD = st.one_of(
    st.sampled_from([b"/", b"net:[4026531840]", b"-", b"nsfs", b"\\040", b"\\999", b"\\1"]), st.binary(max_size=6)
)


@given(NUMBER, NUMBER, st.lists(MOUNT_FIELD, max_size=8))
def test_any_mountinfo_yields_mounts(major: int, minor: int, fields: list[bytes]) -> None:
    line = b" ".join([b"22", b"1", b"%d:%d" % (major, minor), *fields]) + b" - nsfs nsfs rw\n"
    for mount in mountinfo.parse(line * 2, "nsfs"):
        assert mount.type == "nsfs"
        assert mount.device >= 0


SEGMENT = st.one_of(
    st.sampled_from([
        "system.slice", "a.service", "init.scope", "user@1000.service", "docker-" + "a" * 64 + ".scope", "b" * 64,
        "kubepods-burstable-pod" + "c" * 32 + ".slice", "pod" + "d" * 32, "..", "lxc.payload.", "lxc.payload.x",
        "machine-x.scope", "x:y:" + "e" * 64, ".service", "libpod-conmon-" + "f" * 64 + ".scope",
    ]),
    st.text(max_size=80),
)  # fmt: skip


@given(st.lists(SEGMENT, max_size=8).map("/".join))
def test_any_cgroup_path_is_a_printable_workload_or_none(path: str) -> None:
    workload = cgroup.workload_of(path)
    if workload is not None:
        assert workload.id
        assert workload.name
        assert workload.id.isprintable()
        assert workload.name.isprintable()
        assert workload.pod is None or workload.pod.isprintable()
        assert workload.pod is None or set(workload.pod.rpartition("/")[2]) <= set("0123456789abcdef-")


@given(st.text(max_size=200))
def test_any_list_of_cgroups_yields_paths(text: str) -> None:
    assert all(path in text for path in cgroup.paths(text))
