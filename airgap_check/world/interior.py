"""The file system of a rehearsal: this machine's, but for the places that would lead out of the sealed world.

Nothing is written to the machine's own file system: what is new stands on a tmpfs that ends with the mount namespace.
"""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel import namespaces
from airgap_check.world.ground import RESOLVER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FOLDER = "/run/airgap-check"
_AUTHORITY, _BUNDLE = f"{_FOLDER}/authority.pem", f"{_FOLDER}/certificates.pem"
# Where sockets of this machine's services stand that would ask, or dial, on behalf of the command: name service caches,
# buses, container engines. And units of this machine, which say nothing of a command that no unit runs.
_COVERED = ("/run", "/etc/systemd")
_SOCKETS = ("/tmp/.X11-unix",)  # noqa: S108
_LOCKED = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")  # as container engines do
_NETWORK = "/proc/sys/net"
_LARGEST = 4 << 20  # bytes of a file of certificates
_HOSTS = "127.0.0.1 localhost {name}\n::1 localhost ip6-localhost ip6-loopback\n"
# What each variable makes its readers trust: the file itself beside what they trust already, or nothing else.
_ADDED, _INSTEAD = "NODE_EXTRA_CA_CERTS", ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
# And those that win over these for one program each, which matters only where somebody has set them.
_WHERE_SET = (
    "AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO", "CURL_CA_BUNDLE", "DENO_CERT", "GIT_SSL_CAINFO",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "HTTPLIB2_CA_CERTS", "NIX_SSL_CERT_FILE", "PIP_CERT",
)  # fmt: skip


class Interior(NamedTuple):
    """What a command needs to know: variables that make it trust the world; what could not be covered, in words."""

    trust: dict[str, str]
    blind: tuple[str, ...]


def furnish(hostname: str, authority: bytes | None, environ: Mapping[str, str]) -> Interior:
    """Cover what leads out, in the caller's own new mount and pid namespaces. Raises OSError.

    ``authority`` is the world's certificate as PEM, None where nobody shall trust it.
    """
    namespaces.keep_mounts_to_ourselves()
    resolver = os.path.realpath("/etc/resolv.conf")
    trusted = dict(_trusted(authority, environ)) if authority else {}
    names = _name_services()
    namespaces.mount("proc", "/proc", namespaces.NO_EXECUTION)
    _lock()
    for path in (*_COVERED, *_SOCKETS):
        if os.path.isdir(path):
            namespaces.mount("tmpfs", path, options=("mode=755", "size=512m"))
    os.makedirs(_FOLDER, mode=0o755)
    blind = [
        why
        for path, text in (
            (resolver, f"nameserver {RESOLVER}\noptions timeout:2 attempts:2\n"),
            ("/etc/hosts", _HOSTS.format(name=hostname)),
            ("/etc/nsswitch.conf", names),
        )
        for why in _cover(path, text)
    ]
    for path, content in trusted.items():
        with open(path, "wb") as file:
            file.write(content)
    named = (*_INSTEAD, *(name for name in _WHERE_SET if name in environ))
    trust = {_ADDED: _AUTHORITY, **dict.fromkeys(named, _BUNDLE)} if trusted else {}
    return Interior(trust, tuple(blind))


def _lock() -> None:
    """Let nobody turn the kernel's own switches, which are the whole machine's, but for those of his network."""
    locked = [path for path in _LOCKED if os.path.exists(path)]
    for path in (*locked, _NETWORK):
        namespaces.bind(path, path)
    for path in locked:
        namespaces.make_read_only(path)


def _cover(path: str, text: str) -> Iterator[str]:
    """Let a text be read where a file stands; say so where there is none to be covered."""
    if path.startswith("/run/"):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        target = path
    elif os.path.exists(path):
        target = f"{_FOLDER}/{os.path.basename(path)}"
    else:
        yield f"there is no {path} that could be covered by the world's own"
        return
    with open(target, "w", encoding="utf-8") as file:
        file.write(text)
    if target != path:
        namespaces.bind(target, os.path.realpath(path))


def _name_services() -> str:
    """Return nsswitch.conf with names of hosts from files and the name server alone: no cache, bus or multicast."""
    lines = []
    with suppress(OSError, UnicodeDecodeError), open("/etc/nsswitch.conf", encoding="utf-8") as file:
        lines = [line for line in file.read().splitlines() if line.partition(":")[0].strip() != "hosts"]
    return "\n".join([*lines, "hosts: files dns", ""])


def _trusted(authority: bytes, environ: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yield the files of certificates: ours, with what the command would have trusted anyway."""
    yield _AUTHORITY, _certificates(environ.get(_ADDED)) + authority
    usual = ssl.get_default_verify_paths().cafile
    known = [_certificates(environ.get(name) or usual) for name in _INSTEAD]
    yield _BUNDLE, b"".join(dict.fromkeys(known)) + authority


def _certificates(path: str | None) -> bytes:
    if not path:
        return b""
    with suppress(OSError), open(path, "rb") as file:
        content = file.read(_LARGEST)
        return content if content.endswith(b"\n") else content + b"\n"
    return b""
