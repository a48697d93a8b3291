from __future__ import annotations

import os

from airgap_check.kernel import mountinfo
from airgap_check.kernel.mountinfo import Mount

LINES = rb"""22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
35 22 0:30 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw
40 22 0:4 net:[4026532249] /run/netns/a\040b rw shared:12 master:3 - nsfs nsfs rw
41 22 0:4 net:[4026532250] /run/netns/b rw - nsfs nsfs rw
"""


def test_mounts_are_picked_by_file_system() -> None:
    assert mountinfo.parse(LINES, "cgroup2") == [Mount(os.makedev(0, 30), "/", "/sys/fs/cgroup/unified", "cgroup2")]
    assert mountinfo.parse(LINES, "cgroup") == []


def test_blanks_in_a_mount_point_are_unescaped() -> None:
    assert [(mount.root, mount.point) for mount in mountinfo.parse(LINES, "nsfs")] == [
        ("net:[4026532249]", "/run/netns/a b"),
        ("net:[4026532250]", "/run/netns/b"),
    ]


def test_a_malformed_line_is_no_mount() -> None:
    assert mountinfo.parse(b"1 2 x:y / /a rw - nsfs nsfs rw\n1 2 - nsfs a\n - nsfs \n", "nsfs") == []


def test_the_mounts_of_this_process_are_found() -> None:
    with open("/proc/self/mountinfo", "rb") as file:
        (mount, *_) = mountinfo.parse(file.read(), "proc")
    assert mount.type == "proc"
