"""Knows where systemd-resolved forwards to: resolved.conf(5), its drop-ins, and the state it keeps in /run.

What was compiled in as FallbackDNS is known only from the commented line of the shipped resolved.conf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airgap_check.names import resolv_conf
from airgap_check.names.root import names_or_none, read_or_empty
from airgap_check.names.upstream import (
    Upstream,
    nameservers,
    server,
    split_zone_port,
    unique,
    unknown,
    unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.names.root import Root

STUBS = frozenset({"127.0.0.53", "127.0.0.54"})  # systemd-resolved.service(8): the full stub, and the proxy-only one
_FOLDERS = ("/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd")  # the first has priority
STATE = "/run/systemd/resolve/resolv.conf"
# networkd writes what a link was given; resolved keeps what others (NetworkManager, resolvectl) told it.
_LINKS = (("/run/systemd/netif/links", "DNS"), ("/run/systemd/resolve/netif", "SERVERS"))
_SERVERS = 256


class _Assignment(NamedTuple):
    key: str
    value: str
    path: str


def upstreams(root: Root) -> list[Upstream]:
    """Return every server that systemd-resolved is configured with, or uses now."""
    found: list[Upstream] = []
    assignments: list[_Assignment] = []
    for path in _configuration_files(root, found):
        try:
            assignments += _assignments(root.read(path), path)
        except FileNotFoundError:
            continue
        except OSError as error:
            found.append(unreadable(path, error))
    own = _collected("DNS", assignments)
    fallback = _fallback(root, assignments, has_own=bool(own))
    return unique(found + own + _runtime(root) + fallback)


def _configuration_files(root: Root, faults: list[Upstream]) -> Iterator[str]:
    """Yield the main file that is in force, then the drop-ins by name; a name in a folder with priority hides others.

    Files that do not exist are yielded too.
    """
    for folder in _FOLDERS:
        main = f"{folder}/resolved.conf"
        try:
            root.read(main)
        except FileNotFoundError:
            continue
        except OSError:
            pass  # the caller meets the same error and reports it
        yield main
        break
    dropins: dict[str, str] = {}
    for folder in _FOLDERS:
        path = f"{folder}/resolved.conf.d"
        try:
            names = names_or_none(root, path)
        except OSError as error:
            faults.append(unreadable(path, error))
            continue
        for name in names:
            if name.endswith(".conf"):
                dropins.setdefault(name, f"{path}/{name}")
    for name in sorted(dropins):
        yield dropins[name]


def _assignments(text: str, path: str) -> Iterator[_Assignment]:
    """Yield the assignments of the [Resolve] section (systemd.syntax(7): comments, and lines that go on)."""
    section, kept = "", ""
    for line in text.split("\n"):
        stripped = line.strip()
        if stripped.startswith(("#", ";")) or (not stripped and not kept):
            continue
        if stripped.endswith("\\"):
            kept += stripped[:-1] + " "
            continue
        stripped, kept = kept + stripped, ""
        if stripped.startswith("["):
            section = stripped
        elif section == "[Resolve]":
            key, _, value = stripped.partition("=")
            yield _Assignment(key.strip(), value.strip(), path)


def _collected(key: str, assignments: list[_Assignment]) -> list[Upstream]:
    """Collect a list setting over all files; an empty assignment forgets what came before."""
    found: list[Upstream] = []
    for assignment in assignments:
        if assignment.key == key:
            source = f"{key} in {assignment.path}"
            found = [*found, *_servers(assignment.value, source)] if assignment.value else []
    return found


def _servers(value: str, source: str) -> list[Upstream]:
    """Read ``address[:port][%interface][#server name]`` words."""
    words = value.split()
    found = [server(*split_zone_port(word.partition("#")[0], ":"), source) for word in words[:_SERVERS]]
    return [*found, unknown(f"{source}: more than {_SERVERS} servers")] if len(words) > _SERVERS else found


def _fallback(root: Root, assignments: list[_Assignment], *, has_own: bool) -> list[Upstream]:
    """Return FallbackDNS as set, else as the shipped files document it, else what that means.

    With a DNS= of its own resolved never turns to the compiled-in list, so that its being unknown does no harm.
    """
    if any(assignment.key == "FallbackDNS" for assignment in assignments):
        return _collected("FallbackDNS", assignments)
    for folder in _FOLDERS:
        path = f"{folder}/resolved.conf"
        try:
            lines = read_or_empty(root, path).split("\n")
        except OSError:
            continue
        for line in lines:
            if line.startswith("#FallbackDNS="):
                source = f"FallbackDNS, compiled in as {path} says"
                return _servers(line.removeprefix("#FallbackDNS="), source)
    return [] if has_own else [unknown("FallbackDNS compiled into systemd-resolved, which no file here documents")]


def _runtime(root: Root) -> list[Upstream]:
    """Return the servers in use now: of the host, and of each link."""
    found: list[Upstream] = []
    try:
        text = root.read(STATE)
    except OSError as error:
        found.append(unreadable(f"{STATE} (what systemd-resolved uses now)", error))
    else:
        if any(line.startswith("nameserver") for line in text.split("\n")):
            found += nameservers(resolv_conf.parse(text), STATE)
    for folder, key in _LINKS:
        try:
            for name in names_or_none(root, folder):
                found += _link(read_or_empty(root, f"{folder}/{name}"), key, f"{key} in {folder}/{name}")
        except OSError as error:
            found.append(unreadable(folder, error))
    return found


def _link(text: str, key: str, source: str) -> list[Upstream]:
    values = [line.partition("=")[2] for line in text.split("\n") if line.startswith(f"{key}=")]
    return [upstream for value in values for upstream in _servers(value, source)]
