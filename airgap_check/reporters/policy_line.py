"""The line of a policy that would approve what a finding is about, for a person to complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airgap_check.address import parse, scope_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def policy_line(record: Mapping[str, Any], address: str, port: int | None, *, public: bool = False) -> str:
    """Write the entry for one address; name, role and owner are for the person who approves it."""
    protocol = record.get("protocol", "tcp")
    parts = ["name: ...", "role: ...", f"cidr: [{address}/{128 if ':' in address else 32}]"]
    if port:
        parts.append(f"ports: [{port}]")
    if protocol in {"udp", "icmp"}:
        parts.append(f"protocol: {protocol}")
    if public:
        parts.append("public: true")
    return f"- {{{', '.join(parts)}}}"


def for_finding(record: Mapping[str, Any]) -> str | None:
    """Write the entry that would approve a finding's own destination; None when no policy line can, or should."""
    remote = record.get("remote") or {}
    if remote.get("scope") in {"public", "metadata"} or record.get("direction") == "inbound":
        return None
    if record.get("kind") == "probe":
        return None  # an entry approves it already, or it is a canary
    if remote.get("address") and remote.get("scope") not in {"unspecified", "unknown"} and not _is_made_up(remote):
        return policy_line(record, remote["address"], remote.get("port"))
    if remote.get("name"):
        ports = f", ports: [{remote['port']}]" if remote.get("port") else ""
        # A socket that was connected and sent nothing only sorts addresses: an entry of any protocol is for it.
        speaks = record.get("kind") in {"connection", "encounter"} and record.get("state") != "connect"
        is_datagram = speaks and record.get("protocol") == "udp"
        protocol = ", protocol: udp" if is_datagram else ""
        return f"- {{name: ..., role: ..., host: {remote['name']}{ports}{protocol}}}"
    return None


def _is_made_up(remote: Mapping[str, Any]) -> bool:
    """Tell whether a rehearsal gave a name this address: outside of it the name has another."""
    address = parse(remote["address"])
    made_up = address is not None and scope_of(address) == "benchmarking" and remote["scope"] != "benchmarking"
    return made_up and bool(remote.get("name"))
