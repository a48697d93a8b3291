"""Knows where dnsmasq forwards to: dnsmasq(8), its command line and configuration files."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    from collections.abc import Iterator, Sequence

    from airgap_check.names.root import Root

_CONFIGURATION = "/etc/dnsmasq.conf"
_RESOLV_CONF = "/etc/resolv.conf"
# NetworkManager tells its dnsmasq the servers over D-Bus, and writes the same here (NetworkManager.conf(5), dns=).
_NETWORK_MANAGER = "/run/NetworkManager/no-stub-resolv.conf"
_FILES = 256
_SHORT = {"S": "server", "r": "resolv-file", "R": "no-resolv", "C": "conf-file", "7": "conf-dir", "1": "enable-dbus"}
_SHORT_WITH_VALUE = frozenset("rmpclsitugaxSCATHQIBFGOMXVUjPJWY2467803")  # the optstring of dnsmasq's option.c
_LONG_WITH_VALUE = (
    "server", "local", "rev-server", "resolv-file", "conf-file", "conf-dir", "servers-file", "conf-script",
)  # fmt: skip
_LONG = (*_LONG_WITH_VALUE, "no-resolv", "enable-dbus")


def upstreams(argv: Sequence[str], root: Root) -> list[Upstream]:
    """Return every server that a dnsmasq with this command line forwards to; none when it forwards nothing."""
    configuration = _Configuration(root)
    for option, value in _arguments(argv):
        configuration.take(option, value, "the command line of dnsmasq")
    configuration.read_files()
    return configuration.upstreams()


def _arguments(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the options that matter, as getopt_long(3) reads them: abbreviated, bundled, value attached or not."""
    words = iter(argv[1:])
    for word in words:
        if word.startswith("--"):
            text, equals, value = word[2:].partition("=")
            option = _long(text)
            if option:
                yield option, value if equals else next(words, "") if option in _LONG_WITH_VALUE else ""
        elif word.startswith("-"):
            for position, letter in enumerate(word[1:], 2):
                value = word[position:]
                if letter in _SHORT_WITH_VALUE:
                    value = value or next(words, "")
                    if letter in _SHORT:
                        yield _SHORT[letter], value
                    break
                if letter in _SHORT:
                    yield _SHORT[letter], ""


def _long(text: str) -> str | None:
    if text in _LONG:
        return text
    candidates = [option for option in _LONG if text and option.startswith(text)]
    return candidates[0] if len(candidates) == 1 else None


class _Configuration:
    """The options of one dnsmasq as they are read, file by file."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._found: list[Upstream] = []
        self._resolv_files: list[str] = []
        self._reads_resolv_conf = True
        self._pending: list[str] = []
        self._read: set[str] = set()
        self._default = True

    def take(self, option: str, value: str, place: str) -> None:
        """Apply one option; ``place`` says where it is written."""
        source = f"{option} in {place}"
        match option:
            case "server" | "local":
                self._server(value, source)
            case "rev-server":
                self._server(value.partition(",")[2], source)
            case "resolv-file":
                self._resolv_files.append(value)
            case "no-resolv":
                self._reads_resolv_conf = False
            case "conf-file":
                self._default = False
                self._pending += [value] if value else []
            case "servers-file":
                self._pending.append(value)
            case "conf-dir":
                self._folder(value)
            case "conf-script":
                self._found.append(unknown(f"{source}: what the script prints"))
            case "enable-dbus":
                self._bus(value, source)

    def read_files(self) -> None:
        """Read the configuration files, those that they include too, each once."""
        if self._default:
            self._pending.append(_CONFIGURATION)
        while self._pending:
            path = self._pending.pop()
            if path in self._read:
                continue
            self._read.add(path)
            if len(self._read) > _FILES:
                self._found.append(unknown(f"dnsmasq: more than {_FILES} configuration files"))
                return
            try:
                text = read_or_empty(self._root, path) if path == _CONFIGURATION else self._root.read(path)
            except OSError as error:
                self._found.append(unreadable(path, error))
                continue
            for option, value in _lines(text):
                self.take(option, value, path)

    def upstreams(self) -> list[Upstream]:
        """Return what was found, the servers of the resolv.conf files included."""
        found = list(self._found)
        for path in (self._resolv_files or [_RESOLV_CONF]) if self._reads_resolv_conf else ():
            found += _of_resolv_file(self._root, path)
        return unique(found)

    def _server(self, value: str, source: str) -> None:
        """Read ``[/domain/...]address[#port][@interface or source]``; ``/domain/`` and ``/domain/#`` name no server."""
        text = value.rpartition("/")[2].partition("@")[0] if value.startswith("/") else value.partition("@")[0]
        if text and text != "#":
            self._found.append(server(*split_zone_port(text, "#"), source))

    def _folder(self, value: str) -> None:
        """Read ``folder[,suffix to skip][,*suffix to take]``."""
        path, *suffixes = (part.strip() for part in value.split(","))
        taken = tuple(suffix[1:] for suffix in suffixes if suffix.startswith("*"))
        skipped = tuple(suffix for suffix in suffixes if suffix and not suffix.startswith("*"))
        try:
            names = names_or_none(self._root, path)
        except OSError as error:
            self._found.append(unreadable(path, error))
            return
        for name in names:
            hidden = name.startswith(".") or name.endswith("~") or (name.startswith("#") and name.endswith("#"))
            if not hidden and not name.endswith(skipped) and (not taken or name.endswith(taken)):
                self._pending.append(f"{path.rstrip('/')}/{name}")

    def _bus(self, name: str, source: str) -> None:
        text = ""
        if "NetworkManager" in name:
            try:
                text = read_or_empty(self._root, _NETWORK_MANAGER)
            except OSError as error:
                self._found.append(unreadable(_NETWORK_MANAGER, error))
        if text:
            self._found += nameservers(resolv_conf.parse(text), _NETWORK_MANAGER)
        else:
            self._found.append(unknown(f"{source}: servers may be set over D-Bus"))


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Yield the options of a configuration file that matter; a # starts a comment only after a blank."""
    for line in text.split("\n"):
        key, _, value = line.partition("=")
        option = key.split("#")[0].strip()
        if option in _LONG:
            words = value.replace("\t", " ").split(" #")[0]
            yield option, words.strip().replace('"', "")


def _of_resolv_file(root: Root, path: str) -> list[Upstream]:
    """Return the servers of a resolv-file; an absent one has none, and no default as libc would have."""
    try:
        text = read_or_empty(root, path)
    except OSError as error:
        return [unreadable(path, error)]
    conf = resolv_conf.parse(text)
    if not any(line.split()[:1] == ["nameserver"] for line in text.split("\n")):
        return []
    return nameservers(conf, f"{path}, which dnsmasq reads")
