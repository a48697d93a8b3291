"""Knows which Linux capabilities, and which paths of the host, let a container out of the network it was put into."""

from __future__ import annotations

import posixpath

_REASONS = {
    "ALL": "all of them",
    "NET_ADMIN": "changes routes and firewall rules",
    "NET_RAW": "makes packets that no socket shows",
    "SYS_ADMIN": "enters other namespaces",
    "SYS_PTRACE": "acts as other processes",
    "SYS_MODULE": "loads kernel modules",
    "BPF": "loads programs into the kernel",
}

_SOCKETS = ("docker.sock", "podman.sock", "containerd.sock", "crio.sock", "cri-dockerd.sock")
# Folders that hold such a socket.
_FOLDERS = frozenset({"/run", "/run/docker", "/run/podman", "/run/containerd", "/run/crio", "/run/k3s/containerd"})


def of_capability(name: str) -> str:
    """Say what a capability lets a container do that concerns the gap; nothing for one that does not."""
    return _REASONS.get(name.strip().upper().removeprefix("CAP_"), "")


def of_path(source: str) -> str:
    """Say what a path of the host gives to the container that it is mounted into; nothing for an ordinary one."""
    if not source.startswith("/"):
        return ""
    path = posixpath.normpath(source).replace("//", "/")
    path = path.removeprefix("/var") if path.startswith("/var/run") else path
    if posixpath.basename(path) in _SOCKETS:
        return f"the socket of the container engine ({source})"
    if path == "/":
        return f"the whole file system of the host ({source})"
    return f"{source} of the host, where the socket of the container engine is" if path in _FOLDERS else ""
