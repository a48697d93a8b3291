"""What tshark reads in a capture, and what we do, in the same words: names, addresses in answers, and flows."""

from __future__ import annotations

import subprocess
from collections import Counter
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.evidence import Answer, Connection, Question, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.evidence import Evidence

_FIELDS = (
    "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport",
    "tcp.flags.syn", "tcp.flags.ack", "icmp.type", "icmpv6.type", "dns.qry.name", "dns.flags.response", "dns.a",
    "dns.aaaa", "tls.handshake.extensions_server_name", "http.host", "quic.version",
)  # fmt: skip
_CARRIERS = {"dot": "tls", "doh": "tls", "doq": "quic"}  # which tshark does not tell apart
_Flow = tuple[str, str, str, int]  # protocol, initiator, responder, the responder's port


class Heard(NamedTuple):
    """Names asked for, names with the addresses that were given for them, names said, and how many flows of each."""

    asked: set[str]
    given: set[tuple[str, str]]
    said: set[tuple[str, str]]
    flows: Counter[_Flow]

    def differences(self, other: Heard) -> list[str]:
        """List what one of both has, and the other has not."""
        found = []
        for field in self._fields:
            mine, theirs = getattr(self, field), getattr(other, field)
            if mine != theirs:
                more, less = sorted(mine - theirs)[:5], sorted(theirs - mine)[:5]
                found.append(f"{field}: {len(mine)} and {len(theirs)}; only here {more}, only there {less}")
        return found


def ours(evidence: Evidence) -> Heard:
    """Say what our evidence holds."""
    flows: Counter[_Flow] = Counter()
    for flow in evidence.of(Connection):
        if flow.protocol in {"tcp", "udp"}:
            key = flow.protocol, str(flow.local.address), str(flow.remote.address), flow.remote.port or 0
            flows[key] += flow.count
    return Heard(
        {question.name for question in evidence.of(Question)},
        {(answer.name, str(end.address)) for answer in evidence.of(Answer) for end in answer.addresses},
        {
            (_CARRIERS.get(request.source, request.source), request.name)
            for request in evidence.of(Request)
            if request.name
        },
        flows,
    )


def theirs(path: str) -> Heard:
    """Let tshark read a capture; that every flow in it was seen to begin is taken for granted."""
    heard = Heard(set(), set(), set(), Counter())
    known: set[tuple[str, str, str, str, str]] = set()
    for row in _rows(path):
        _names(heard, row)
        protocol = "tcp" if row["tcp.srcport"] else "udp" if row["udp.srcport"] else ""
        if not protocol or row["icmp.type"] or row["icmpv6.type"]:
            continue
        source, target = row["ip.src"] or row["ipv6.src"], row["ip.dst"] or row["ipv6.dst"]
        ports = row[f"{protocol}.srcport"], row[f"{protocol}.dstport"]
        if not known.isdisjoint(
            {(protocol, source, ports[0], target, ports[1]), (protocol, target, ports[1], source, ports[0])}
        ):
            continue
        known.add((protocol, source, ports[0], target, ports[1]))
        heard.flows[protocol, str(ip_address(source)), str(ip_address(target)), int(ports[1])] += 1
    return heard


def _names(heard: Heard, row: dict[str, str]) -> None:
    name = row["dns.qry.name"].lower()
    if name:
        heard.asked.add(name)
    if name and row["dns.flags.response"] in {"1", "True"}:
        for text in (row["dns.a"], row["dns.aaaa"]):
            heard.given.update((name, str(ip_address(address))) for address in text.split(",") if address)
    if said := row["tls.handshake.extensions_server_name"]:
        heard.said.add(("quic" if row["quic.version"] else "tls", said))
    if said := row["http.host"]:
        heard.said.add(("http", said))


def _rows(path: str) -> Iterator[dict[str, str]]:
    wanted = [word for field in _FIELDS for word in ("-e", field)]
    argv = ["tshark", "-n", "-r", path, "-T", "fields", *wanted]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as reader:
        assert reader.stdout is not None
        for line in reader.stdout:
            yield dict(zip(_FIELDS, line.rstrip("\n").split("\t"), strict=True))
    if reader.returncode:
        raise RuntimeError(f"tshark: exit {reader.returncode}")
