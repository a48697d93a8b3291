"""Collects how names are resolved on this host: by which servers, where those forward to, and what they say.

Only names that the caller was given are asked for, and only of servers that are internal together with everything
that they are known to forward to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airgap_check.address import scope_of
from airgap_check.evidence import Answer, Evidence, Resolver, endpoint
from airgap_check.kernel import netns
from airgap_check.names import hosts, vantage
from airgap_check.names.forwarding import FORWARDERS, Forwarding
from airgap_check.names.responder import Responders
from airgap_check.names.root import ProcessRoot, read_or_empty

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airgap_check.address import Address
    from airgap_check.kernel.netns import Namespace
    from airgap_check.names.query import Reply
    from airgap_check.names.vantage import Panorama, Vantage

_HOSTS = "/etc/hosts"
_HOSTS_LIMIT = 1 << 24  # bytes; block lists are long
_SHOWN = 5
_DEFINITE = frozenset({"ok", "nodata", "nxdomain"})
_REMOTE = "where name servers on other machines forward to"
_RUNNING = "what local forwarders were told while they ran (resolvectl, unbound-control, D-Bus): their files were read"


def collect(
    names: Sequence[str],
    namespaces: Sequence[Namespace],
    subjects: Sequence[int],
    ask: bool,  # noqa: FBT001  (an interface shared with those who call it)
    deadline: float | None,
) -> Evidence:
    """Return the resolvers in use, and what is answered to ``names``: host names in lower case, no wildcards.

    ``subjects`` are the network namespaces of the audited runtimes: names are looked up from there, or from our own
    namespace when there are none. ``deadline`` is a time.monotonic() value.
    """
    panorama = vantage.survey(subjects, deadline)
    if not panorama.vantages:
        return Evidence(kind="resolution", status="unavailable", reason="; ".join(panorama.failures))
    forwarding = Forwarding(Responders(panorama.processes, FORWARDERS), panorama.vantages[0], ProcessRoot)
    resolvers = list(dict.fromkeys(_resolvers(panorama.vantages, forwarding)))
    inquiry = _Inquiry(list(dict.fromkeys(names)), forwarding, deadline)
    for place in _places(panorama, namespaces, subjects):
        inquiry.look_up(place, ask=ask)
    gaps = [*panorama.failures, *inquiry.gaps]
    if names and not ask:
        gaps.append("names were not asked for: --no-resolve")
    return Evidence(
        kind="resolution",
        status="partial" if gaps else "complete",
        records=(*resolvers, *inquiry.answers),
        reason="; ".join(dict.fromkeys(gaps)),
        scope=f"{len(panorama.vantages)} mount namespaces in {len(panorama.processes)} network namespaces",
        counts={"resolvers": len(resolvers), "names": len(inquiry.names), **inquiry.counts},
        blind=_blind(panorama.vantages, resolvers),
    )


def _resolvers(vantages: Iterable[Vantage], forwarding: Forwarding) -> Iterator[Resolver]:
    """Yield every server that is asked from somewhere on this host, each followed by those behind it."""
    seen = set()
    for view in vantages:
        key = (view.netns, view.conf, "resolve" in view.sources.names)
        if key in seen:
            continue
        seen.add(key)
        for address, _ in view.conf.nameservers:
            yield Resolver(netns=view.netns, address=str(address), scope=scope_of(address), source=view.source)
            yield from forwarding.follow(view, address).resolvers
        if "resolve" in view.sources.names:
            yield from forwarding.through_resolved(view).resolvers


def _blind(vantages: Iterable[Vantage], resolvers: Iterable[Resolver]) -> tuple[str, ...]:
    """Say what nobody could see from here."""
    unjudged = sorted({name for view in vantages for name in view.sources.unjudged})
    blind = [f"what {', '.join(unjudged)} of nsswitch.conf would say"] if unjudged else []
    if any(resolver.via for resolver in resolvers):
        blind.append(_RUNNING)
    if any(resolver.scope not in {"loopback", "unspecified", "unknown"} for resolver in resolvers):
        blind.append(_REMOTE)
    return tuple(blind)


class _Place(NamedTuple):
    """A network namespace to look names up from, and the points of view in it.

    ``namespace`` is None when it can no longer be entered; ``asks`` is false where only the hosts file counts.
    """

    namespace: Namespace | None
    inode: int
    views: list[Vantage]
    asks: bool
    label: str = ""


def _places(panorama: Panorama, namespaces: Sequence[Namespace], subjects: Sequence[int]) -> Iterator[_Place]:
    """Yield our own namespace with our own files, and those of the subjects with everybody's in them."""
    known = {namespace.inode: namespace for namespace in namespaces}
    known.setdefault(panorama.own, netns.Namespace(panorama.own, "process"))
    for inode in dict.fromkeys([panorama.own, *subjects]):
        views = [view for view in panorama.vantages if view.netns == inode]
        if inode not in subjects:
            views = views[:1]
        label = "" if inode == panorama.own else f"in network namespace {inode}: "
        yield _Place(known.get(inode), inode, views, inode in subjects or not subjects, label)


class _Inquiry:
    """Looks names up from one place after the other, and keeps the answers and the gaps."""

    def __init__(self, names: list[str], forwarding: Forwarding, deadline: float | None) -> None:
        self.names = names
        self.answers: list[Answer] = []
        self.gaps: list[str] = []
        self.counts = {"asked": 0, "in_hosts": 0}
        self._forwarding = forwarding
        self._deadline = deadline

    def look_up(self, place: _Place, *, ask: bool) -> None:
        """Look the names up as the processes of a place would: in their hosts files, then with their servers."""
        bound = [self._in_hosts(view) for view in place.views]
        found: dict[str, dict[Address, None]] = {}
        for in_hosts in bound:
            for name, addresses in in_hosts.items():
                found.setdefault(name, {}).update(dict.fromkeys(addresses))
        for name, every in found.items():
            ends = tuple(endpoint(address, name=name) for address in every)
            self.answers.append(Answer(name=name, netns=place.inode, source="hosts", status="ok", addresses=ends))
        self.counts["in_hosts"] += len(found)
        if ask and place.asks and self.names:
            self._ask_from(place, bound)

    def _in_hosts(self, view: Vantage) -> dict[str, tuple[Address, ...]]:
        if not self.names or not view.sources.reads_hosts:
            return {}
        try:
            return hosts.bound(read_or_empty(view.root, _HOSTS, _HOSTS_LIMIT), self.names)
        except OSError as error:
            self.gaps.append(f"may not read {_HOSTS} ({error.strerror}) as {view.source} is read")
            return {}

    def _ask_from(self, place: _Place, bound: list[dict[str, tuple[Address, ...]]]) -> None:
        """Ask the servers of one resolv.conf after the other, until every name has an answer."""
        replies: dict[str, Reply] = {}
        obstacles: dict[str, None] = {}
        asked = set()
        for view, in_hosts in zip(place.views, bound, strict=True):
            known = {name for name, reply in replies.items() if reply.status == "ok"}
            known |= in_hosts.keys() if view.sources.hosts_first else set()
            pending = [name for name in self.names if name not in known]
            if view.conf in asked or not pending:
                continue
            asked.add(view.conf)
            new, reasons = self._ask_servers(place, view, pending)
            obstacles.update(dict.fromkeys(reasons))
            replies.update({name: reply for name, reply in new.items() if name not in replies or reply.status == "ok"})
        self.counts["asked"] += len(replies)
        self.answers += [_answer(name, place.inode, reply) for name, reply in replies.items()]
        silent = [name for name in self.names if name not in replies and not any(name in known for known in bound)]
        failed = [f"{name} ({reply.status})" for name, reply in replies.items() if reply.status not in _DEFINITE]
        if silent:
            why = "; ".join(obstacles) or "no process is left there to tell its resolver"
            self.gaps.append(f"{place.label}not asked: {_some(silent)}: {why}")
        if failed:
            self.gaps.append(f"{place.label}not answered: {_some(failed)}")

    def _ask_servers(self, place: _Place, view: Vantage, names: list[str]) -> tuple[dict[str, Reply], list[str]]:
        """Ask the internal servers of one resolv.conf; also say why a server, or a name, was left out."""
        from airgap_check.names import query  # start-up time

        servers, reasons = [], []
        for address, zone in view.conf.nameservers:
            obstacle = self._forwarding.follow(view, address).obstacle
            if obstacle:
                reasons.append(obstacle)
            else:
                servers.append(query.Server(address, zone=zone))
        questions = {name: query.candidates(name, view.conf.search, view.conf.ndots) for name in names}
        if not all(questions.values()):
            reasons.append("a name without a dot needs a search domain")
        questions = {name: candidates for name, candidates in questions.items() if candidates}
        if not servers or not questions:
            return {}, reasons
        if place.namespace is None:
            return {}, ["the network namespace cannot be entered any more"]
        try:
            replies = netns.inside(place.namespace, lambda: query.ask(questions, servers, self._deadline))
        except OSError as error:
            return {}, [f"could not enter the network namespace: {error.strerror}"]
        return replies, [*reasons, "no time left"] if len(replies) < len(questions) else reasons


def _answer(name: str, inode: int, reply: Reply) -> Answer:
    return Answer(
        name=name,
        netns=inode,
        source="dns",
        status=reply.status,
        chain=reply.chain,
        addresses=tuple(endpoint(address, name=name) for address in reply.addresses),
        ttl=reply.ttl,
        server=reply.server,
    )


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
