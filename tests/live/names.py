"""Real name servers for the far host of a laboratory: dnsmasq and unbound, with records that the test chooses."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from tests.live.lab import RESOLVER, Lab
from tests.live.lab_host import PATIENCE, Host, LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_QUERY = re.compile(r": query\[\w+\] (\S+) from")


def _is_address(value: str) -> bool:
    return ":" in value or value.replace(".", "").isdigit()


def serve_dnsmasq(lab: Lab, records: Mapping[str, str], address: str = RESOLVER) -> Callable[[], set[str]]:
    """Run dnsmasq, which knows these records and nothing else; return what tells which names it was asked."""
    lines = [
        f"host-record={name},{value}" if _is_address(value) else f"cname={name},{value}"
        for name, value in records.items()
    ]
    lab.far.write(
        "/run/lab/dnsmasq.conf",
        "\n".join(
            [
                "no-resolv", "no-hosts", "keep-in-foreground", "user=root", "pid-file", "bind-interfaces", "local=/#/",
                f"listen-address={lab.assign(address)}", "log-queries", "log-facility=/run/lab/dnsmasq.log", *lines, "",
            ]
        ),
    )  # fmt: skip
    lab.far.run(["dnsmasq", "--conf-file=/run/lab/dnsmasq.conf"])
    _wait_for_port_53(lab.far)
    return lambda: set(_QUERY.findall(lab.far.path("/run/lab/dnsmasq.log").read_text()))


def serve_unbound(lab: Lab, records: Mapping[str, str], address: str = RESOLVER) -> None:
    """Run unbound as a resolver whose whole world is these records; it follows aliases from zone to zone."""
    zones: dict[str, list[str]] = {}
    for name, value in records.items():
        kind = "CNAME" if not _is_address(value) else "AAAA" if ":" in value else "A"
        target = value if _is_address(value) else f"{value}."
        zones.setdefault(name.partition(".")[2], []).append(f"{name}. 60 IN {kind} {target}")
    configuration = [
        "server:", f"  interface: {lab.assign(address)}", "  access-control: 0.0.0.0/0 allow", "  do-daemonize: no",
        '  username: ""', '  chroot: ""', '  directory: "/run/lab"', '  pidfile: ""', "  use-syslog: no",
        "  logfile: /run/lab/unbound.log", '  module-config: "iterator"', "  do-not-query-localhost: no",
    ]  # fmt: skip
    for zone, lines in zones.items():
        start = f"{zone}. 60 IN SOA ns.{zone}. root.{zone}. 1 3600 600 86400 60"
        lab.far.write(f"/run/lab/{zone}.zone", "\n".join([start, f"{zone}. 60 IN NS ns.{zone}.", *lines, ""]))
        configuration += ["auth-zone:", f'  name: "{zone}."', f"  zonefile: /run/lab/{zone}.zone"]
        configuration += ["  for-downstream: no", "  for-upstream: yes", "  fallback-enabled: no"]
    lab.far.write("/run/lab/unbound.conf", "\n".join([*configuration, "remote-control:", "  control-enable: no", ""]))
    lab.far.run(["unbound", "-d", "-c", "/run/lab/unbound.conf"])
    _wait_for_port_53(lab.far)


def _wait_for_port_53(far: Host) -> None:
    deadline = time.monotonic() + PATIENCE
    while ":0035 " not in far.path("/proc/1/net/udp").read_text():
        if time.monotonic() > deadline:
            raise LabError("the name server did not come up")
        time.sleep(0.01)
