"""Lists the tables, chains, rules, named counters and verdict maps of nftables in one network namespace.

Source: include/uapi/linux/netfilter/nfnetlink.h and nf_tables.h, net/netfilter/nf_tables_api.c. Asking needs
CAP_NET_ADMIN in the namespace. iptables-nft keeps its rules here too.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel import netlink, nft_rule

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from airgap_check.kernel.nft_rule import Action, Attributes, Verdict

FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}  # NFPROTO_*
_NETLINK_NETFILTER, _SUBSYSTEM = 12, 10 << 8  # NFNL_SUBSYS_NFTABLES
_NEW_TABLE, _GET_TABLE, _NEW_CHAIN, _GET_CHAIN, _NEW_RULE, _GET_RULE = 0, 1, 3, 4, 6, 7  # NFT_MSG_*
_NEW_ELEMENTS, _GET_ELEMENTS, _NEW_GENERATION, _GET_GENERATION, _NEW_OBJECT, _GET_OBJECT = 12, 13, 15, 16, 18, 19
_FAMILY_HEADER = 4  # nfgenmsg: family, version, resource
_COUNTER_OBJECT = 1  # NFT_OBJECT_COUNTER
_REQUEST = 1  # NLM_F_REQUEST
_ATTEMPTS = 5
_LOADED, _MODULES, _BUILT_IN = "/sys/module/nf_tables", "/proc/modules", "/lib/modules/{}/modules.builtin"
_MOST = 1 << 16  # rules, chains ... each; who is root in a container makes as many as he likes


class Key(NamedTuple):
    """A chain, map or shared counter: a name inside a table."""

    family: int
    table: str
    name: str


class Chain(NamedTuple):
    """A chain. ``hook`` is None for one that is only jumped to; ``drops`` is its policy, ``packets`` counts that."""

    handle: int
    hook: int | None
    drops: bool
    packets: int | None


class Rule(NamedTuple):
    """A rule of a chain; its handle is never given again as long as the table lives."""

    chain: Key
    handle: int
    action: Action
    comment: str


class SharedCounter(NamedTuple):
    """A counter with a name, which any number of rules may move."""

    handle: int
    packets: int


class Ruleset(NamedTuple):
    """Everything at one generation. ``tables`` maps family and name to the handle, which tells a new one apart."""

    generation: int
    tables: dict[tuple[int, str], int]
    chains: dict[Key, Chain]
    rules: list[Rule]
    counters: dict[Key, SharedCounter]
    maps: dict[Key, list[Verdict]]


def read() -> Ruleset | None:
    """Return the rules of the calling thread's namespace; None where the kernel has no nftables, and so no rules.

    Never loads a module. Raises OSError: PermissionError, InterruptedError for rules that would not stand still,
    E2BIG for more of them than we keep, EBADMSG, ENOENT where nobody can tell whether asking would load a module.
    """
    if not _answers():
        return None
    for _ in range(_ATTEMPTS - 1):
        try:
            return _read()
        except InterruptedError:
            continue
    return _read()


def _answers() -> bool:
    """Tell whether the kernel has nftables: asking one that merely could load it would make it do so."""
    if os.path.exists(_LOADED):
        return True
    try:
        with open(_MODULES, "rb") as file:
            if any(line.startswith(b"nf_tables ") for line in file):
                return True
    except FileNotFoundError:
        return True  # a kernel without modules loads none
    try:
        with open(_BUILT_IN.format(os.uname().release), "rb") as file:
            return any(line.rstrip().endswith(b"/nf_tables.ko") for line in file)
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, "nobody says whether nftables is built in") from None


def _read() -> Ruleset | None:
    try:
        channel = netlink.connect(_NETLINK_NETFILTER)
    except OSError as error:
        if error.errno == errno.EPROTONOSUPPORT:
            return None
        raise
    with channel:
        try:
            generation = _generation(channel)
        except OSError as error:
            if error.errno in {errno.EINVAL, errno.EOPNOTSUPP}:
                return None  # nobody answers for this subsystem
            raise
        found = Ruleset(generation, {}, {}, [], {}, {})
        for kind in (_GET_TABLE, _GET_CHAIN, _GET_RULE, _GET_OBJECT):
            netlink.dump(channel, _request(kind), lambda data: parse(data, found))
        for key in {Key(*rule.chain[:2], name) for rule in found.rules for name in rule.action.maps}:
            found.maps[key] = _elements(channel, key)
        if _generation(channel) != generation:
            raise InterruptedError(errno.EINTR, "the ruleset changed while the kernel listed it")
    return found


def _request(kind: int, family: int = 0, attributes: bytes = b"") -> bytes:
    return netlink.dump_request(_SUBSYSTEM | kind, struct.pack("=BBH", family, 0, 0) + attributes)


def _generation(channel: socket.socket) -> int:
    """Return the number that grows with each change of the ruleset of this namespace."""
    numbers: list[int] = []

    def take(data: memoryview) -> bool:
        numbers.extend(
            nft_rule.number(data, _attributes(data, message).get(1)) or 0  # NFTA_GEN_ID
            for message in netlink.messages(data)
            if message is not None and message[0] == _SUBSYSTEM | _NEW_GENERATION
        )
        return True

    netlink.dump(channel, netlink.message(_SUBSYSTEM | _GET_GENERATION, _REQUEST, 1, bytes(4)), take)
    if not numbers:
        raise netlink.malformed()
    return numbers[0]


def _elements(channel: socket.socket, key: Key) -> list[Verdict]:
    """Return the verdicts that a map holds."""
    names = b"".join(_string(kind, name) for kind, name in ((1, key.table), (2, key.name)))
    found: list[Verdict] = []
    try:
        netlink.dump(channel, _request(_GET_ELEMENTS, key.family, names), lambda data: parse_elements(data, found))
    except FileNotFoundError:
        raise InterruptedError(errno.EINTR, "a map went while the kernel listed the rules") from None
    return found


def _string(kind: int, name: str) -> bytes:
    return netlink.attribute(kind, name.encode(errors="surrogateescape") + b"\0")


def parse(data: netlink.Bytes, found: Ruleset) -> bool:
    """Add what one datagram holds; tell whether the dump has ended. Raises OSError as `netlink.ends` does."""
    for message in netlink.messages(data):
        if message is None:
            return True
        facts = _attributes(data, message)
        if take := _TAKERS.get(message[0]):
            take(found, data, data[message[1]], facts)
    return False


def parse_elements(data: netlink.Bytes, found: list[Verdict]) -> bool:
    """Add the verdicts of one datagram of a map; tell whether the dump has ended. Raises OSError."""
    for message in netlink.messages(data):
        if message is None:
            return True
        listed = _attributes(data, message).get(3)  # NFTA_SET_ELEM_LIST_ELEMENTS
        if message[0] != _SUBSYSTEM | _NEW_ELEMENTS or listed is None:
            continue
        for _, first, last in netlink.attributes(data, *listed):
            said = nft_rule.verdict(data, nft_rule.attributes(data, (first, last)).get(2))  # NFTA_SET_ELEM_DATA
            if said.drops or said.chain:
                found.append(said)
        _bound(len(found))
    return False


def _attributes(data: netlink.Bytes, message: tuple[int, int, int]) -> Attributes:
    _, start, end = message
    if end - start < _FAMILY_HEADER:
        raise netlink.malformed()
    return nft_rule.attributes(data, (start + _FAMILY_HEADER, end))


def _table(found: Ruleset, data: netlink.Bytes, family: int, facts: Attributes) -> None:
    handle = nft_rule.number(data, facts.get(4)) or 0  # NFTA_TABLE_HANDLE
    found.tables[family, nft_rule.text(data, facts.get(1))] = handle
    _bound(len(found.tables))


def _chain(found: Ruleset, data: netlink.Bytes, family: int, facts: Attributes) -> None:
    key = Key(family, nft_rule.text(data, facts.get(1)), nft_rule.text(data, facts.get(3)))
    hook = nft_rule.number(data, nft_rule.attributes(data, facts.get(4)).get(1))  # NFTA_CHAIN_HOOK, NFTA_HOOK_HOOKNUM
    found.chains[key] = Chain(
        handle=nft_rule.number(data, facts.get(2)) or 0,
        hook=hook,
        drops=hook is not None and nft_rule.number(data, facts.get(5)) == 0,  # NFTA_CHAIN_POLICY, NF_DROP
        packets=nft_rule.packets_of(data, facts.get(8)),  # NFTA_CHAIN_COUNTERS
    )
    _bound(len(found.chains))


def _rule(found: Ruleset, data: netlink.Bytes, family: int, facts: Attributes) -> None:
    chain = Key(family, nft_rule.text(data, facts.get(1)), nft_rule.text(data, facts.get(2)))
    action = nft_rule.action(data, *facts.get(4, (0, 0)))  # NFTA_RULE_EXPRESSIONS
    handle, note = nft_rule.number(data, facts.get(3)) or 0, nft_rule.comment(data, facts.get(7))
    if any(action):
        found.rules.append(Rule(chain, handle, action, note))
    _bound(len(found.rules))


def _object(found: Ruleset, data: netlink.Bytes, family: int, facts: Attributes) -> None:
    if nft_rule.number(data, facts.get(3)) != _COUNTER_OBJECT:  # NFTA_OBJ_TYPE
        return
    key = Key(family, nft_rule.text(data, facts.get(1)), nft_rule.text(data, facts.get(2)))
    packets = nft_rule.packets_of(data, facts.get(4))  # NFTA_OBJ_DATA
    found.counters[key] = SharedCounter(nft_rule.number(data, facts.get(6)) or 0, packets or 0)
    _bound(len(found.counters))


def _bound(number: int) -> None:
    if number > _MOST:
        raise OSError(errno.E2BIG, f"the ruleset has more than {_MOST} entries of a kind")


_TAKERS: dict[int, Callable[[Ruleset, netlink.Bytes, int, Attributes], None]] = {
    _SUBSYSTEM | _NEW_TABLE: _table,
    _SUBSYSTEM | _NEW_CHAIN: _chain,
    _SUBSYSTEM | _NEW_RULE: _rule,
    _SUBSYSTEM | _NEW_OBJECT: _object,
}
