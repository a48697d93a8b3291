"""``airgap-check explain``: which entry or rule decides a destination, and why; nothing is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.commands import options

if TYPE_CHECKING:
    import argparse

    from airgap_check.evidence.fact import Endpoint

HELP = "which entry or rule decides DESTINATION[:PORT], and why"
DESCRIPTION = "Say which entry or rule decides about a destination, and why; nothing is sent."


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("destination", metavar="DESTINATION[:PORT]", help="an address or a host name")
    parser.add_argument("--protocol", choices=("tcp", "udp", "icmp"), default="tcp", help="default: tcp")
    options.add_policy(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what decides, and return the exit code that such a connection alone would cause."""
    from airgap_check import audit
    from airgap_check.commands.delivery import show
    from airgap_check.explanation import explain
    from airgap_check.plan import Plan

    remote = destination(arguments.destination)
    rules, policy = audit.load(Plan(policy=arguments.policy, rules=tuple(arguments.rules)))
    text, code = explain(rules, policy or audit.propose().policy, remote, arguments.protocol, arguments.clock())
    show(text)
    return int(code)


def destination(text: str) -> Endpoint:
    """Read ``address``, ``address:port``, ``[v6]:port``, ``name`` or ``name:port``. Raises `UsageError`."""
    from airgap_check.address import parse
    from airgap_check.domain import normal
    from airgap_check.errors import UsageError
    from airgap_check.evidence.fact import Endpoint, endpoint
    from airgap_check.policy import is_host_name, port_range

    host, _, port_text = text.rpartition(":")
    if not host or (":" in host and not host.endswith("]")):
        host, port_text = text, ""
    span = port_range(port_text) if port_text else None
    if port_text and (span is None or span[0] != span[1]):
        raise UsageError(f"{text}: not a port from 1 to 65535: {port_text}")
    port = span[0] if span else None
    address = parse(host)
    if address:
        return endpoint(address, port)
    if not is_host_name(normal(host)):
        raise UsageError(f"{text}: neither an address nor a host name")
    return Endpoint(name=normal(host), port=port)
