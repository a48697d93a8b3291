"""Knows which counters of a firewall count outgoing or forwarded packets that it refused.

A counter tells that only where every packet that moves it is refused: the last thing in a rule before the refusal, a
shared one if all its rules refuse, and a policy's own. It tells nothing where incoming packets come through its chain
as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from airgap_check import redact
from airgap_check.kernel.nftables import FAMILIES
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from airgap_check.kernel.nft_rule import Verdict
    from airgap_check.kernel.nftables import Key, Rule, Ruleset

_Chain = TypeVar("_Chain", bound="Hashable")

_HOOKS = {  # include/uapi/linux/netfilter.h, netfilter_bridge.h: forward, output, postrouting; egress of an interface
    "inet": frozenset({2, 3, 4}),
    "ip": frozenset({2, 3, 4}),
    "ip6": frozenset({2, 3, 4}),
    "bridge": frozenset({2, 3, 4}),
    "netdev": frozenset({1}),
}
_LONGEST_COMMENT = 64


class DropCounter(NamedTuple):
    """A counter of refused packets, with a name that people recognise."""

    name: str
    packets: int


class Firewall(NamedTuple):
    """The counters by an identity that outlives a change of the rules; ``uncounted`` refusals have none that tells."""

    counters: dict[Hashable, DropCounter]
    uncounted: int


def of_ruleset(ruleset: Ruleset) -> Firewall:
    """Find the counters of nftables; shared ones are listed once."""
    rules: dict[Key, list[Rule]] = {}
    for rule in ruleset.rules:
        rules.setdefault(rule.chain, []).append(rule)
    reached = _reached(ruleset, rules, outgoing=True)
    outgoing_only = reached.keys() - _reached(ruleset, rules, outgoing=False)
    sound = _sound(ruleset, outgoing_only)
    counters: dict[Hashable, DropCounter] = {}
    uncounted = 0
    for key in reached:
        chain, table = ruleset.chains[key], _table(ruleset, key)
        if chain.drops and chain.packets is not None:
            counters[table, "chain", chain.handle] = DropCounter(f"nft {_words(key)} policy drop", chain.packets)
        elif chain.drops:
            uncounted += 1
        for rule in rules.get(key, ()):
            uncounted += any(said.drops for said in _said(ruleset, rule))
            if rule.action.packets is not None and key in outgoing_only:
                counters[table, "rule", rule.handle] = DropCounter(_name(rule), rule.action.packets)
            elif (shared := key._replace(name=rule.action.counter)) in sound:
                handle, packets = ruleset.counters[shared]
                name = f"nft {_words(shared._replace(name='counter'))} {printable(shared.name)}"
                counters[table, "counter", handle] = DropCounter(name, packets)
            elif rule.action.refusal:
                uncounted += 1
    return Firewall(counters, uncounted)


def _reached(ruleset: Ruleset, rules: dict[Key, list[Rule]], *, outgoing: bool) -> dict[Key, None]:
    """Return the chains that outgoing or forwarded packets may come through, or those that others may, in order."""
    hooked = [
        key
        for key, chain in ruleset.chains.items()
        if chain.hook is not None and (chain.hook in _HOOKS.get(FAMILIES.get(key.family, ""), ())) == outgoing
    ]

    def onward(key: Key) -> Iterator[Key]:
        for rule in rules.get(key, ()):
            names = [*rule.action.chains, *(said.chain for said in _said(ruleset, rule))]
            yield from (other for name in names if (other := key._replace(name=name)) in ruleset.chains)

    return reachable(hooked, onward)


def reachable(hooked: Iterable[_Chain], onward: Callable[[_Chain], Iterable[_Chain]]) -> dict[_Chain, None]:
    """Return the chains that a packet may come to from these; rules may lead in any pattern."""
    found = dict.fromkeys(hooked)
    waiting = list(found)
    while waiting:
        for chain in onward(waiting.pop()):
            if chain not in found:
                found[chain] = None
                waiting.append(chain)
    return found


def _said(ruleset: Ruleset, rule: Rule) -> Iterator[Verdict]:
    """Iterate over the verdicts that a rule takes from maps."""
    for name in rule.action.maps:
        yield from ruleset.maps.get(rule.chain._replace(name=name), ())


def _sound(ruleset: Ruleset, outgoing_only: set[Key]) -> set[Key]:
    """Return the shared counters that nothing moves but refusals of outgoing packets."""
    moved: set[Key] = set()
    otherwise: set[Key] = set()
    for rule in ruleset.rules:
        for name in rule.action.shared:
            key = rule.chain._replace(name=name)
            moved.add(key)
            if rule.chain not in outgoing_only or name != rule.action.counter:
                otherwise.add(key)
    return {key for key in moved - otherwise if key in ruleset.counters}


def _table(ruleset: Ruleset, key: Key) -> tuple[int, str, int]:
    """Return what a table made anew under the same name does not share with the old one.

    Before Linux 4.16 a table has no handle; then no counter is taken for the same once anything has changed.
    """
    return key.family, key.table, ruleset.tables.get((key.family, key.table), 0) or -ruleset.generation


def _name(rule: Rule) -> str:
    note = f" ({redact.url(rule.comment[:_LONGEST_COMMENT])})" if rule.comment else ""
    return f"nft {_words(rule.chain)} handle {rule.handle} {rule.action.refusal}{note}"


def _words(key: Key) -> str:
    return f"{FAMILIES.get(key.family, key.family)} {printable(key.table)} {printable(key.name)}"
