"""Knows which Linux capabilities let a container out of the network that it was put into."""

from __future__ import annotations

_REASONS = {
    "ALL": "all of them",
    "NET_ADMIN": "changes routes and firewall rules",
    "NET_RAW": "makes packets that no socket shows",
    "SYS_ADMIN": "enters other namespaces",
    "SYS_PTRACE": "acts as other processes",
    "SYS_MODULE": "loads kernel modules",
    "BPF": "loads programs into the kernel",
}


def of_capability(name: str) -> str:
    """Say what a capability lets a container do that concerns the gap; nothing for one that does not."""
    return _REASONS.get(name.strip().upper().removeprefix("CAP_"), "")
