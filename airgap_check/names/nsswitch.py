"""Knows the hosts line of nsswitch.conf(5): who is asked for a name, and in which order."""

from __future__ import annotations

from typing import NamedTuple

# What these say is local (files, the own host name, local containers), or is asked for by this program itself.
_JUDGED = frozenset({"files", "dns", "resolve", "myhostname", "mymachines", "libvirt", "libvirt_guest"})
_SOURCES = 64


class Sources(NamedTuple):
    """The services of the hosts line in order, without their ``[NOTFOUND=return]`` actions."""

    names: tuple[str, ...]

    @property
    def reads_hosts(self) -> bool:
        """Whether /etc/hosts is looked at; systemd-resolved reads it too."""
        return "files" in self.names or "resolve" in self.names

    @property
    def hosts_first(self) -> bool:
        """Whether a name in /etc/hosts never reaches a server."""
        if not self.reads_hosts:
            return False
        return "dns" not in self.names or any(name in {"files", "resolve"} for name in self.names[: self._dns])

    @property
    def unjudged(self) -> tuple[str, ...]:
        """The services that this program neither reads nor asks (mdns, wins, ldap, sss, nis ...)."""
        return tuple(name for name in self.names if name not in _JUDGED)

    @property
    def _dns(self) -> int:
        return self.names.index("dns")


USUAL = Sources(("files", "dns"))


def parse(text: str) -> Sources:
    """Read nsswitch.conf; without a hosts line glibc and musl look into the file, then ask DNS."""
    found = USUAL
    for line in text.split("\n"):
        database, colon, rest = line.partition("#")[0].partition(":")
        if colon and database.strip() == "hosts":
            found = Sources(tuple(_outside_brackets(rest).split()[:_SOURCES]))
    return found


def _outside_brackets(text: str) -> str:
    return " ".join(part.rpartition("]")[2] for part in text.split("["))
