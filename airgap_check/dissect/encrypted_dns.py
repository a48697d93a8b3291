"""Tells DNS that hides in TLS, QUIC or HTTPS by its port, its ALPN, its path, or a resolver's well-known name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from airgap_check.dissect.hello import Hello
from airgap_check.dissect.packet import TCP, UDP

if TYPE_CHECKING:
    from airgap_check.dissect.http import HttpRequest

Kind = Literal["dot", "doq", "doh"]

_DOT = 853  # RFC 7858, RFC 9250
_DOQ = frozenset({853, 784, 8853})  # the latter two of its drafts, and still in use

# Public resolvers that answer over HTTPS; a name below one of them is that resolver too (a customer's own profile).
_RESOLVERS = frozenset({
    "dns.google", "dns64.dns.google", "8888.google",
    "cloudflare-dns.com", "one.one.one.one", "cloudflare-gateway.com",
    "dns.quad9.net", "dns9.quad9.net", "dns10.quad9.net", "dns11.quad9.net",
    "doh.opendns.com", "doh.familyshield.opendns.com", "doh.sandbox.opendns.com", "doh.umbrella.com",
    "dns.nextdns.io", "doh.cleanbrowsing.org", "adguard-dns.com", "dns.adguard.com", "dns.controld.com",
    "freedns.controld.com", "dns.mullvad.net", "doh.mullvad.net", "dns0.eu", "doh.libredns.gr", "doh.dns.sb",
    "dnsforge.de", "dns.digitale-gesellschaft.ch", "doh.ffmuc.net", "doh.applied-privacy.net", "blahdns.com",
    "dns.rethinkdns.com", "sky.rethinkdns.com", "max.rethinkdns.com", "doh.xfinity.com", "dns.alidns.com", "doh.pub",
    "dns.pub", "doh.360.cn", "public.dns.iij.jp", "dns.switch.ch", "dns.twnic.tw",
})  # fmt: skip


def kind(port: int, protocol: int, said: Hello | HttpRequest | None = None) -> Kind | None:
    """Name the kind; ``port`` is the server's, ``protocol`` is 6 or 17, ``said`` what the client said there.

    A tunnel through a proxy counts by the name it is for.
    """
    if protocol == TCP and port == _DOT:
        return "dot"
    if protocol == UDP and port in _DOQ:
        return "doq"
    if said is None:
        return None
    if isinstance(said, Hello):
        if "dot" in said.alpn:
            return "dot"
        if any(name.startswith("doq") for name in said.alpn):  # doq-i03: a draft's
            return "doq"
        return "doh" if is_resolver(said.name or "") else None
    return "doh" if said.dns_query or is_resolver(said.host or "") else None


def is_resolver(name: str) -> bool:
    """Tell whether a name, in lower case, is that of a public resolver known to answer over HTTPS."""
    while name:
        if name in _RESOLVERS:
            return True
        name = name.partition(".")[2]
    return False
