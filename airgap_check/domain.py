"""Domain names by themselves: which of them the public DNS knows nothing of, and which stand for addresses.

Source: the IANA registry of special-use domain names (RFC 6761, RFC 6762, RFC 7686, RFC 8375, RFC 8880, RFC 9462,
RFC 9476), and .internal, which ICANN reserved for private use (resolution 2024.07.29.06).
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airgap_check.address import Network

_SPECIAL = (
    "localhost", "local", "internal", "home.arpa", "test", "invalid", "example", "onion", "alt",
    "resolver.arpa", "ipv4only.arpa", "service.arpa",
)  # fmt: skip
_HEXADECIMAL = frozenset("0123456789abcdef")


def normal(name: str) -> str:
    """Return a host name as it is compared: lower case, no trailing dot."""
    return name.lower().rstrip(".")


def below(name: str, suffix: str) -> bool:
    """Tell whether a name is a suffix, or stands below it; below the root is everything."""
    name, suffix = normal(name), normal(suffix).lstrip(".")
    return not suffix or name == suffix or name.endswith("." + suffix)


def is_special(name: str) -> bool:
    """Tell whether a name means nothing to the public DNS: special use, a single label, or the root.

    The second-level names of documentation (example.com) are not among them: they are delegated and answer.
    """
    name = normal(name)
    return "." not in name or any(below(name, suffix) for suffix in _SPECIAL)


def is_public(name: str, own: Iterable[str]) -> bool:
    """Tell whether a name belongs to the public tree: it is not special, nor below a suffix of the site's ``own``."""
    return not (is_special(name) or any(below(name, suffix) for suffix in own))


def bare(name: str) -> str:
    """Return the name that an attribute is of: ``_5432._tcp.db.bank.example`` is said of db.bank.example (RFC 8552)."""
    labels = normal(name).split(".")
    while len(labels) > 1 and labels[0].startswith("_"):
        del labels[0]
    return ".".join(labels)


def reversed_network(name: str) -> Network | None:
    """Return what a name of the reverse tree stands for: an address, or for a shorter name its network.

    Labels before those of the address do not count, as those of service discovery (RFC 6763 11) and of classless
    delegation (RFC 2317). None for a name outside the reverse tree.
    """
    labels = normal(name).split(".")
    if labels[-2:] == ["in-addr", "arpa"]:
        return _ipv4(labels[-3::-1])
    return _ipv6(labels[-3::-1]) if labels[-2:] == ["ip6", "arpa"] else None


def _ipv4(labels: list[str]) -> IPv4Network:
    value = length = 0
    for label in labels[:4]:
        if not (label.isascii() and label.isdigit() and len(label) <= 3 and int(label) <= 255):
            break
        value, length = value << 8 | int(label), length + 8
    return IPv4Network((value << (32 - length), length))


def _ipv6(labels: list[str]) -> IPv6Network:
    value = length = 0
    for label in labels[:32]:
        if label not in _HEXADECIMAL:
            break
        value, length = value << 4 | int(label, 16), length + 4
    return IPv6Network((value << (128 - length), length))
