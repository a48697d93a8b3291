"""Knows where unbound asks: unbound.conf(5), its forward and stub zones, and the root servers when nothing stops it."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.address import parse
from airgap_check.names.root import names_or_none
from airgap_check.names.upstream import Upstream, server, unique, unknown, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airgap_check.names.root import Root

_CONFIGURATION = "/etc/unbound/unbound.conf"
_FILES, _DEPTH = 256, 16
_TOKEN = re.compile(r"""#[^\n]*|"[^"\n]*"?|'[^'\n]*'?|[^\s"']+""")
_CLAUSES = frozenset({
    "server", "forward-zone", "stub-zone", "auth-zone", "view", "remote-control", "python", "dynlib", "cachedb",
    "dnscrypt", "rpz", "ipset", "dnstap",
})  # fmt: skip
_ADDRESSES = frozenset({"forward-addr", "stub-addr"})
_HOSTS = frozenset({"forward-host", "stub-host"})
_SERVER_LISTS = frozenset({"root-hints", "do-not-query-address", "do-ip4", "do-ip6"})
# The types of a local zone under which what is not local data is still looked up.
_OPEN_TYPES = frozenset({"transparent", "typetransparent", "inform", "always_transparent", "nodefault", "ipset"})


class _Pair(NamedTuple):
    key: str
    value: str
    path: str


class _Zone:
    """A forward or stub zone. ``first`` means that unbound looks the name up itself when the servers fail."""

    def __init__(self) -> None:
        self.name = ""
        self.servers: list[Upstream] = []
        self.first = False


def upstreams(argv: Sequence[str], root: Root) -> list[Upstream]:
    """Return every server that an unbound with this command line asks; recursion is one of scope *public*."""
    configuration = _Configuration(root)
    configuration.read(_configuration_file(argv))
    return configuration.upstreams()


def _configuration_file(argv: Sequence[str]) -> str:
    for position, word in enumerate(argv[1:], 1):
        if word.startswith("-c"):
            return word[2:] or (argv[position + 1] if position + 1 < len(argv) else "")
    return _CONFIGURATION


class _Configuration:
    """What one unbound was told, clause by clause."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._faults: list[Upstream] = []
        self._zones: list[_Zone] = []
        self._local: dict[str, str] = {}
        self._server: dict[str, list[str]] = {key: [] for key in _SERVER_LISTS}
        self._clause = ""
        self._read = 0

    def read(self, path: str, depth: int = 0) -> None:
        """Read a file and what it includes."""
        self._read += 1
        if self._read > _FILES or depth > _DEPTH:
            self._faults.append(unknown("unbound: too many configuration files, or too deep in each other"))
            return
        try:
            text = self._root.read(path)
        except OSError as error:
            self._faults.append(unreadable(path, error))
            return
        for pair in _pairs(text, path):
            if pair.key == "include":
                self._include(pair.value, depth + 1)
            elif pair.key == "include-toplevel":
                self._clause = ""
                self._include(pair.value, depth + 1)
                self._clause = ""
            else:
                self._take(pair)

    def _include(self, pattern: str, depth: int) -> None:
        """Read the files that a pattern names; only the last part may hold wildcards here."""
        folder, _, last = pattern.rpartition("/")
        if not any(sign in pattern for sign in "*?["):
            self.read(pattern if pattern.startswith("/") else f"/etc/unbound/{pattern}", depth)
        elif any(sign in folder for sign in "*?[") or not folder.startswith("/"):
            self._faults.append(unknown(f"unbound: include {pattern}"))
        else:
            try:
                names = names_or_none(self._root, folder)
            except OSError as error:
                self._faults.append(unreadable(folder, error))
                return
            for name in names:
                if fnmatchcase(name, last) and not name.startswith("."):
                    self.read(f"{folder}/{name}", depth)

    def _take(self, pair: _Pair) -> None:
        if pair.key in _CLAUSES:
            self._clause = pair.key
            if pair.key in {"forward-zone", "stub-zone"}:
                self._zones.append(_Zone())
        elif self._clause in {"forward-zone", "stub-zone"}:
            self._of_zone(self._zones[-1], pair)
        elif self._clause == "server" and pair.key == "local-zone":
            name, _, kind = pair.value.partition(" ")
            self._local[_domain(name)] = kind.strip().lower()
        elif self._clause == "server" and pair.key in _SERVER_LISTS:
            self._server[pair.key].append(pair.value)

    def _of_zone(self, zone: _Zone, pair: _Pair) -> None:
        source = f"{pair.key} in {pair.path}"
        if pair.key == "name":
            zone.name = _domain(pair.value)
        elif pair.key in _ADDRESSES:
            address, _, port = pair.value.partition("#")[0].partition("@")
            zone.servers.append(server(address, port, source))
        elif pair.key in _HOSTS:
            zone.servers.append(unknown(f"{source}: {pair.value[:255]}"))
        elif pair.key in {"forward-first", "stub-first"}:
            zone.first = pair.value == "yes"

    def upstreams(self) -> list[Upstream]:
        """Return the servers of all zones, and those that are asked about everything else."""
        found = self._faults + [server for zone in self._zones for server in zone.servers]
        if self._recurses():
            found += self._root_servers()
        return unique(found)

    def _recurses(self) -> bool:
        """Tell whether there is a name for which unbound starts at the root servers."""
        forbidden = set(self._server["do-not-query-address"])
        four = "no" not in self._server["do-ip4"] and "0.0.0.0/0" not in forbidden
        six = "no" not in self._server["do-ip6"] and "::/0" not in forbidden
        if not four and not six:
            return False
        if any(zone.first for zone in self._zones):
            return True
        strict = {zone.name for zone in self._zones if zone.servers}
        if "." in strict:
            return False
        if self._local.get(".", "transparent") in _OPEN_TYPES:
            return True
        return any(
            kind in _OPEN_TYPES and not any(_covers(zone, name) for zone in strict)
            for name, kind in self._local.items()
            if name != "."
        )

    def _root_servers(self) -> list[Upstream]:
        """Return the root servers of the site when root-hints names only such, else those of the internet."""
        hinted: list[Upstream] = []
        for path in self._server["root-hints"]:
            try:
                text = self._root.read(path)
            except OSError as error:
                return [unreadable(path, error)]
            hinted += _hints(text, f"root-hints {path} of unbound")
        if hinted and not any(hint.scope == "public" for hint in hinted):
            return hinted
        return [Upstream("unbound: recursion from the root servers of the internet", scope="public")]


def _pairs(text: str, path: str) -> Iterator[_Pair]:
    """Yield key and value. A value may stand right behind the colon; a local-zone has two, joined by a blank."""
    tokens = (token[0] for token in _TOKEN.finditer(text) if not token[0].startswith("#"))
    for token in tokens:
        key, colon, value = token.partition(":")
        if not colon:
            continue  # the second value of an option that does not matter here
        key = key.lower()
        if key not in _CLAUSES:
            value = _unquoted(value or next(tokens, ""))
            if key == "local-zone":
                value += f" {_unquoted(next(tokens, ''))}"
        yield _Pair(key, value, path)


def _unquoted(token: str) -> str:
    return token.strip("\"'")


def _domain(text: str) -> str:
    return text.strip(".").lower() or "."


def _covers(zone: str, name: str) -> bool:
    return zone == name or name.endswith(f".{zone}")


def _hints(text: str, source: str) -> list[Upstream]:
    """Return the addresses in a file of hints (the format of a zone file: the address stands behind A or AAAA)."""
    found = []
    for line in text.split("\n"):
        words = line.partition(";")[0].split()
        for kind, value in pairwise(words):
            if kind.upper() in {"A", "AAAA"} and parse(value) is not None:
                found.append(server(value, "", source))
    return found
