"""Watching a host from inside its pid namespace: who runs in a container below it has the pid that the auditor sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live.lab import PUBLIC
from tests.live.site import UNIT, assert_finding, policy
from tests.live.vigil import Vigil

if TYPE_CHECKING:
    from tests.live.lab import Lab

pytestmark = pytest.mark.live


@pytest.mark.parametrize("protocol", ["tcp", "udp", "raw"])
def test_a_process_of_a_nested_pid_namespace_is_named_as_the_auditor_sees_it(site: Lab, protocol: str) -> None:
    plant = ["python3", "-I", "-S", "/run/lab/planted.py", "attempt", PUBLIC, "443", protocol]
    with Vigil(site, policy=policy()) as vigil:
        running = site.near.run(["unshare", "--pid", "--fork", "--kill-child", *plant], cgroup=UNIT)
        running.expect("ready")
        (pid,) = map(int, site.near.check(["pgrep", "--parent", str(running.pid)]).split())
        vigil.hear(PUBLIC)
        audit = vigil.end()
    process = assert_finding(audit, "connection.public-destination", remote__address=PUBLIC)["process"]
    assert process["pid"] == pid, process
    assert process["command"].endswith(f"{PUBLIC} 443 {protocol}"), process
    blind = audit.coverage("attempts")["blind"]
    assert "which process it was, where that is not in our pid namespace, nor in one inside it" in blind
