"""DHCP under observation: who looks for a server is told apart from who sends to one, which an entry must name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.live.site import UNIT, assert_compliant, assert_finding, policy
from tests.live.vigil import Vigil

if TYPE_CHECKING:
    from tests.live.lab import Audit, Lab

pytestmark = pytest.mark.live

SERVER, SERVER6 = "10.50.0.67", "fd50::67"
_DISCOVER = """
import socket, sys
for port in map(int, sys.argv[1:]):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    made.bind(("", port))
    made.sendto(b"x", ("255.255.255.255", 67))
"""


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


def _watched(site: Lab, server: str, *local_ports: int, entries: tuple[dict[str, Any], ...] = ()) -> Audit:
    site.assign(server)
    with Vigil(site, policy=policy(*entries)) as vigil:
        _send(site, server, *local_ports)
        return vigil.end()


@pytest.mark.parametrize(("server", "local", "remote"), [(SERVER, 68, 67), (SERVER6, 546, 547)])
def test_a_renewal_at_a_server_that_no_entry_names_is_an_unlisted_connection(
    site: Lab, server: str, local: int, remote: int
) -> None:
    audit = _watched(site, server, local)
    assert not audit.findings("connection.dhcp"), audit.summary()
    record = assert_finding(
        audit, "connection.not-allowlisted", remote__address=server, remote__port=remote, local__port=local,
        seen="attempts",
    )  # fmt: skip
    assert record["state"] == "attempt"
    assert audit.exit_code == 1, audit.summary()


@pytest.mark.parametrize(("server", "local"), [(SERVER, 68), (SERVER6, 546)])
def test_a_renewal_at_the_site_s_server_is_compliant(site: Lab, server: str, local: int) -> None:
    listed = {"name": "DHCP", "role": "dhcp", "cidr": server, "ports": [67, 547], "protocol": "udp"}
    assert_compliant(_watched(site, server, local, entries=(listed,)))


def _looked_for(site: Lab, *local_ports: int) -> Audit:
    with Vigil(site, policy=policy()) as vigil:
        site.near.check(["python3", "-c", _DISCOVER, *map(str, local_ports)], cgroup=UNIT)
        return vigil.end()


def test_who_looks_for_a_server_on_the_link_is_low(site: Lab) -> None:
    audit = _looked_for(site, 68)
    assert_finding(audit, "connection.dhcp", remote__address="255.255.255.255", local__port=68, seen="attempts")
    assert not audit.findings("connection.multicast"), audit.summary()
    assert audit.exit_code == 0, audit.summary()  # low: below what fails a run


@pytest.mark.parametrize("ports", [(68, 40001), (40001, 68)], ids=["DHCP first", "DHCP last"])
def test_who_is_no_dhcp_client_does_not_hide_behind_one(site: Lab, ports: tuple[int, ...]) -> None:
    audit = _looked_for(site, *ports)
    record = assert_finding(audit, "connection.multicast", remote__address="255.255.255.255", remote__port=67)
    assert record["local"].get("port") is None
    assert_finding(audit, "connection.dhcp", remote__address="255.255.255.255", local__port=68)
