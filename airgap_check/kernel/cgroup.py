"""Names the workload behind a control group: a systemd unit, a container, or the bare cgroup.

Source: cgroups(7), systemd.slice(5) and the naming of the container runtimes: docker, podman (libpod), containerd and
CRI-O, each under its systemd and its cgroupfs driver, and kubelet's pods.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from airgap_check.evidence import Workload
from airgap_check.kernel import mountinfo, procfs
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST = 4096
_UNITS = (".service", ".scope", ".socket", ".mount")
# docker-ID.scope, cri-containerd-ID.scope, SLICE:cri-containerd:ID, or the bare ID of the cgroupfs drivers
_CONTAINER = re.compile(r"(?:(?P<runtime>[a-z-]{1,32})-|[^/]{1,255}:)?(?P<id>[0-9a-f]{64})(?:\.scope)?")
_POD = re.compile(r"(?:kubepods.{0,32}-)?pod(?P<uid>[0-9a-f]{8}(?:[-_]?[0-9a-f]{4}){3}[-_]?[0-9a-f]{12})(?:\.slice)?")
_MANAGER = re.compile(r"user@[0-9]{1,10}\.service")


def workload_of(path: str) -> Workload | None:
    """Return the workload of a cgroup path, as /proc/PID/cgroup shows it; None for the root cgroup.

    A container wins over the units inside it: its processes can name those as they like. Of nested units the innermost
    one is the name, and all of them are the id, because a user's manager runs units that the user named.
    """
    parts = [part for part in path[:_LONGEST].removesuffix(" (deleted)").split("/") if part not in {"", ".", ".."}]
    if not parts:
        return None
    pod = next((uid for part in parts if (uid := _pod(part))), None)
    container = next((identifier for part in reversed(parts) if (identifier := _container(part))), None)
    if container:
        return Workload(kind="container", id=container, name=container, pod=pod)
    units = [printable(part) for part in parts if part.endswith(_UNITS)]
    if len(units) > 1 and units[-1] == "init.scope":
        units.pop()  # of a user's manager; the bare name would be that of process 1
    if units and not pod:
        return Workload(kind="unit", id="/".join(units), name=units[-1])
    bare = printable("/" + "/".join(parts))
    return Workload(kind="cgroup", id=bare, name=bare, pod=pod)
