"""Reads one rule of nftables: whether it refuses packets, which counter says how many, and where else it leads.

Source: include/uapi/linux/netfilter/nf_tables.h, nf_tables_compat.h. Numbers are in the byte order of the network.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel import netlink

if TYPE_CHECKING:
    from collections.abc import Iterator

    Attributes = dict[int, tuple[int, int]]

_ELEMENT, _EXPRESSION_NAME, _EXPRESSION_DATA = 1, 1, 2  # NFTA_LIST_ELEM, NFTA_EXPR_NAME, NFTA_EXPR_DATA
_PACKETS = 2  # NFTA_COUNTER_PACKETS
_OBJECT_TYPE, _OBJECT_NAME, _COUNTER_OBJECT = 1, 2, 1  # NFTA_OBJREF_IMM_TYPE, _IMM_NAME, NFT_OBJECT_COUNTER
_IMMEDIATE_DATA, _VERDICT, _VERDICT_CODE, _VERDICT_CHAIN = 2, 2, 1, 2  # NFTA_IMMEDIATE_DATA, NFTA_DATA_VERDICT ...
_LOOKUP_SET, _LOOKUP_DREG = 1, 3  # NFTA_LOOKUP_SET, NFTA_LOOKUP_DREG
_TARGET_NAME = 1  # NFTA_TARGET_NAME
_DROP, _JUMP, _GOTO = 0, -3, -4  # NF_DROP, NFT_JUMP, NFT_GOTO
_COMMENT = 0  # NFTNL_UDATA_RULE_COMMENT, of libnftnl
_REFUSING_TARGETS = {b"DROP": "drop", b"REJECT": "reject"}
_UNCONDITIONAL = frozenset(
    {b"log", b"last", b"notrack", b"dup", b"reject", b"target"}
)  # these let every packet pass on


class Verdict(NamedTuple):
    """What is done with a packet: it is dropped, goes on in another chain (its name), or neither."""

    drops: bool
    chain: str


class Action(NamedTuple):
    """What a rule does. ``refusal`` is drop, reject or empty.

    ``packets`` is the rule's own counter, ``counter`` the name of the shared one, set only where no condition stands
    between it and the refusal: one that stands before a condition counts packets that passed. ``shared`` are all shared
    counters that the rule moves, ``chains`` where it jumps, ``maps`` the sets that it takes verdicts from.
    """

    refusal: str = ""
    packets: int | None = None
    counter: str = ""
    shared: tuple[str, ...] = ()
    chains: tuple[str, ...] = ()
    maps: tuple[str, ...] = ()


def action(data: netlink.Bytes, start: int, end: int) -> Action:
    """Read the list of a rule's expressions (NFTA_RULE_EXPRESSIONS); raises OSError (EBADMSG) for nonsense."""
    packets, counter, refusal = None, "", ""
    shared: list[str] = []
    chains: list[str] = []
    maps: list[str] = []
    for name, facts in _expressions(data, start, end):
        if name == b"counter":
            packets, counter = number(data, facts.get(_PACKETS)), ""
        elif name == b"objref" and number(data, facts.get(_OBJECT_TYPE)) == _COUNTER_OBJECT:
            packets, counter = None, text(data, facts.get(_OBJECT_NAME))
            shared.append(counter)
        elif name == b"immediate":
            chains.append(verdict(data, facts.get(_IMMEDIATE_DATA)).chain)
        elif name not in _UNCONDITIONAL:
            packets, counter = None, ""
            if name == b"lookup" and number(data, facts.get(_LOOKUP_DREG)) == 0:  # NFT_REG_VERDICT
                maps.append(text(data, facts.get(_LOOKUP_SET)))
        if refusal := _refusal(name, data, facts):
            break
    if not refusal:
        packets, counter = None, ""
    return Action(refusal, packets, counter, tuple(shared), tuple(filter(None, chains)), tuple(maps))


def _refusal(name: bytes, data: netlink.Bytes, facts: Attributes) -> str:
    """Return how one expression refuses every packet that it sees; empty when it does not."""
    if name == b"immediate":
        return "drop" if verdict(data, facts.get(_IMMEDIATE_DATA)).drops else ""
    if name == b"target":  # of iptables-nft, through nft_compat
        return _REFUSING_TARGETS.get(_bytes(data, facts.get(_TARGET_NAME)).partition(b"\0")[0], "")
    return "reject" if name == b"reject" else ""


def _expressions(data: netlink.Bytes, start: int, end: int) -> Iterator[tuple[bytes, Attributes]]:
    """Iterate over expressions as (name, attributes of its data)."""
    for kind, first, last in netlink.attributes(data, start, end):
        if kind == _ELEMENT:
            parts = attributes(data, (first, last))
            yield (
                _bytes(data, parts.get(_EXPRESSION_NAME)).partition(b"\0")[0],
                attributes(data, parts.get(_EXPRESSION_DATA)),
            )


def verdict(data: netlink.Bytes, span: tuple[int, int] | None) -> Verdict:
    """Read an ``nft_data``: a value is no verdict and does neither."""
    found = attributes(data, attributes(data, span).get(_VERDICT))
    if _VERDICT_CODE not in found:
        return Verdict(drops=False, chain="")
    code = number(data, found[_VERDICT_CODE])
    code = -1 if code is None else code - (1 << 32 if code >> 31 else 0)
    chain = text(data, found.get(_VERDICT_CHAIN)) if code in {_JUMP, _GOTO} else ""
    return Verdict(drops=code & 0xFF == _DROP if code >= 0 else False, chain=chain)


def comment(data: netlink.Bytes, span: tuple[int, int] | None) -> str:
    """Read the comment from a rule's user data (type, length, value), which the kernel does not look at."""
    raw = _bytes(data, span)
    while len(raw) >= 2 and len(raw) >= 2 + raw[1]:
        if raw[0] == _COMMENT:
            return raw[2 : 2 + raw[1]].partition(b"\0")[0].decode(errors="replace")
        raw = raw[2 + raw[1] :]
    return ""


def packets_of(data: netlink.Bytes, span: tuple[int, int] | None) -> int | None:
    """Read the packets of a nested counter; None where there is none."""
    return number(data, attributes(data, span).get(_PACKETS))


def attributes(data: netlink.Bytes, span: tuple[int, int] | None) -> Attributes:
    """Return where each attribute inside a span stands; raises OSError (EBADMSG)."""
    return {} if span is None else {kind: (first, last) for kind, first, last in netlink.attributes(data, *span)}


def number(data: netlink.Bytes, span: tuple[int, int] | None) -> int | None:
    """Return an unsigned number of four or eight bytes; None where the attribute is missing or neither."""
    raw = _bytes(data, span)
    if len(raw) not in {4, 8}:
        return None
    return int(struct.unpack(">I" if len(raw) == 4 else ">Q", raw)[0])


def text(data: netlink.Bytes, span: tuple[int, int] | None) -> str:
    """Return a name up to its NUL; what is no UTF-8 comes as surrogates, so that the kernel can be asked for it."""
    return _bytes(data, span).partition(b"\0")[0].decode(errors="surrogateescape")


def _bytes(data: netlink.Bytes, span: tuple[int, int] | None) -> bytes:
    return b"" if span is None else bytes(data[span[0] : span[1]])
