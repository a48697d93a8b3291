"""DHCP under observation: a renewal is judged as DHCP, and nothing else that goes to the same place is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live.site import UNIT, assert_finding, policy
from tests.live.vigil import Vigil

if TYPE_CHECKING:
    from tests.live.lab import Audit, Lab

pytestmark = pytest.mark.live

SERVER, SERVER6 = "10.50.0.67", "fd50::67"


def _send(site: Lab, server: str, *local_ports: int) -> None:
    """Send one datagram from each of these ports to the DHCP server, all of them by one process of the unit."""
    family, port = ("AF_INET6", 547) if ":" in server else ("AF_INET", 67)
    lines = [
        line
        for local in local_ports
        for line in (
            f"made = socket.socket(socket.{family}, socket.SOCK_DGRAM)",
            f"made.bind(('', {local}))",
            f"made.sendto(b'x', ('{server}', {port}))",
        )
    ]
    site.near.check(["python3", "-c", "\n".join(["import socket", *lines])], cgroup=UNIT)


def _watched(site: Lab, server: str, *local_ports: int) -> Audit:
    site.assign(server)
    with Vigil(site, policy=policy()) as vigil:
        _send(site, server, *local_ports)
        return vigil.end()


@pytest.mark.parametrize(("server", "local", "remote"), [(SERVER, 68, 67), (SERVER6, 546, 547)])
def test_a_renewal_is_dhcp_and_no_unlisted_connection(site: Lab, server: str, local: int, remote: int) -> None:
    audit = _watched(site, server, local)
    assert not audit.findings("connection.not-allowlisted"), audit.summary()
    record = assert_finding(
        audit, "connection.dhcp", remote__address=server, remote__port=remote, local__port=local, seen="attempts"
    )
    assert record["state"] == "attempt"
    assert audit.exit_code == 0, audit.summary()  # low: below what fails a run


@pytest.mark.parametrize("ports", [(68, 40001), (40001, 68)], ids=["DHCP first", "DHCP last"])
def test_who_is_no_dhcp_client_does_not_hide_behind_one(site: Lab, ports: tuple[int, ...]) -> None:
    audit = _watched(site, SERVER, *ports)
    assert audit.exit_code == 1, audit.summary()
    record = assert_finding(audit, "connection.not-allowlisted", remote__address=SERVER, remote__port=67)
    assert record["local"].get("port") is None
    assert_finding(audit, "connection.dhcp", remote__address=SERVER, local__port=68)
