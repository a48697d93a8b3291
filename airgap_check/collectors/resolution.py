"""Collects how names are resolved on this host: by which servers, where those forward to, and what they say.

Only names that the caller was given are asked for, and only of servers that are internal together with everything
that they are known to forward to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from airgap_check.address import scope_of
from airgap_check.evidence import Answer, Evidence, Resolver
from airgap_check.evidence.fact import endpoint
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
_USERS = "how names are resolved in a namespace that a user, not root, made, and so decides its files:"
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

    ``subjects`` are the process ids of the audited runtimes: names are looked up as we see them, and as those do.
    ``deadline`` is a time.monotonic() value.
    """
    panorama = vantage.survey(subjects, deadline)
    if not panorama.vantages:
        return Evidence(kind="resolution", status="unavailable", reason="; ".join(panorama.failures))
    forwarding = Forwarding(Responders(panorama.processes, FORWARDERS), panorama.vantages[0], ProcessRoot)
    resolvers = list(dict.fromkeys(_resolvers(panorama.vantages, forwarding)))
    inquiry = _Inquiry(list(dict.fromkeys(names)), forwarding, deadline)
    for place in _places(panorama, namespaces):
        inquiry.look_up(place, ask=ask)
    gaps = [*panorama.failures, *inquiry.unread]
    if ask:
        gaps += _gaps(inquiry.told, inquiry.names)
    elif names:
        gaps.append("names were not asked for: --no-resolve")
    answers = list(_answers(inquiry.told))
    return Evidence(
        kind="resolution",
        status="partial" if gaps else "complete",
        records=(*resolvers, *answers),
        reason="; ".join(dict.fromkeys(gaps)),
        scope=f"name service as seen from every mount namespace ({len(panorama.vantages)})",
        counts={
            "resolvers": len(resolvers),
            "names": len(inquiry.names),
            "asked": sum(len(told.replies) for told in inquiry.told),
            "in_hosts": sum(answer.source == "hosts" for answer in answers),
        },
        blind=_blind(panorama, resolvers),
    )


def _resolvers(vantages: Iterable[Vantage], forwarding: Forwarding) -> Iterator[Resolver]:
    """Yield every server that is asked from somewhere on this host, each followed by those behind it.

    Our own view is the first. Only its search list counts, and those of runtimes: anybody can give himself another, and
    with it would decide which names are the same to us.
    """
    seen = set()
    for view in sorted(vantages, key=lambda view: ("own", "runtime", "other").index(view.standing)):
        key = (view.netns, view.conf, "resolve" in view.sources.names)
        if key in seen:
            continue
        seen.add(key)
        for address, _ in view.conf.nameservers:
            yield Resolver(
                netns=view.netns,
                address=str(address),
                scope=scope_of(address),
                source=view.source,
                search=view.conf.search if view.standing != "other" else (),
            )
            yield from forwarding.follow(view, address).resolvers
        for value in view.conf.unreadable:
            yield Resolver(netns=view.netns, source=f"nameserver {value} in {view.source}")
        if "resolve" in view.sources.names:
            yield from forwarding.through_resolved(view).resolvers


def _blind(panorama: Panorama, resolvers: Iterable[Resolver]) -> tuple[str, ...]:
    """Say what nobody could see from here."""
    unjudged = sorted({name for view in panorama.vantages for name in view.sources.unjudged})
    blind = [f"what {', '.join(unjudged)} of nsswitch.conf would say"] if unjudged else []
    if panorama.disbelieved:
        blind.append(f"{_USERS} {_some(panorama.disbelieved)}")
    if any(resolver.via for resolver in resolvers):
        blind.append(_RUNNING)
    if any(resolver.scope not in {"loopback", "unspecified", "unknown"} for resolver in resolvers):
        blind.append(_REMOTE)
    return tuple(blind)


class _Place(NamedTuple):
    """A network namespace to look names up from, and the points of view in it that count.

    ``namespace`` is None when it can no longer be entered; ``private`` tells that the views are those of runtimes, and
    ``required`` that a name which stays without an answer there is a gap, whatever others were told.
    """

    namespace: Namespace | None
    inode: int
    views: list[Vantage]
    private: bool
    required: bool
    label: str = ""


def _places(panorama: Panorama, namespaces: Sequence[Namespace]) -> Iterator[_Place]:
    """Yield our own namespace with our own view, then those of the runtimes with theirs.

    Nobody else is believed, nor asked on behalf of: files over /etc/hosts and /etc/resolv.conf are anybody's to mount.
    """
    known = {namespace.inode: namespace for namespace in namespaces}
    known.setdefault(panorama.own, netns.Namespace(panorama.own, "process"))
    ours = [view for view in panorama.vantages if view.standing == "own"]
    theirs = [view for view in panorama.vantages if view.standing == "runtime"]
    required = panorama.hosts_runtime or not theirs
    yield _Place(known[panorama.own], panorama.own, ours, private=False, required=required)
    for inode in dict.fromkeys(view.netns for view in theirs):
        label = "" if inode == panorama.own else f"in network namespace {inode}: "
        views = [view for view in theirs if view.netns == inode]
        yield _Place(known.get(inode), inode, views, private=True, required=True, label=label)


class _Told(NamedTuple):
    """What was said at one place: by its hosts files, by its name servers; and why some were not asked."""

    place: _Place
    bound: dict[str, tuple[Address, ...]]
    replies: dict[str, Reply]
    obstacles: dict[str, None]


class _Inquiry:
    """Looks names up from one place after the other, and keeps what was told."""

    def __init__(self, names: list[str], forwarding: Forwarding, deadline: float | None) -> None:
        self.names = names
        self.told: list[_Told] = []
        self.unread: list[str] = []
        self._forwarding = forwarding
        self._deadline = deadline

    def look_up(self, place: _Place, *, ask: bool) -> None:
        """Look the names up as the processes of a place would: in their hosts files, then with their servers."""
        bound = [self._in_hosts(view) for view in place.views]
        merged: dict[str, dict[Address, None]] = {}
        for in_hosts in bound:
            for name, addresses in in_hosts.items():
                merged.setdefault(name, {}).update(dict.fromkeys(addresses))
        told = _Told(place, {name: tuple(addresses) for name, addresses in merged.items()}, {}, {})
        self.told.append(told)
        if ask and self.names:
            self._ask_from(told, bound)

    def _in_hosts(self, view: Vantage) -> dict[str, tuple[Address, ...]]:
        if not self.names or not view.sources.reads_hosts:
            return {}
        try:
            return hosts.bound(read_or_empty(view.root, _HOSTS, _HOSTS_LIMIT), self.names)
        except OSError as error:
            self.unread.append(f"may not read {_HOSTS} ({error.strerror}) as {view.source} is read")
            return {}

    def _ask_from(self, told: _Told, bound: list[dict[str, tuple[Address, ...]]]) -> None:
        """Ask the servers of one resolv.conf after the other, until every name has a definite answer."""
        place = told.place
        before = [earlier for earlier in self.told if earlier.place.inode == place.inode and earlier is not told]
        settled = {name for earlier in before for name, reply in earlier.replies.items() if reply.status in _DEFINITE}
        asked = {view.conf for earlier in before for view in earlier.place.views}
        for view, in_hosts in zip(place.views, bound, strict=True):
            settled |= {name for name, reply in told.replies.items() if reply.status in _DEFINITE}
            known = settled | in_hosts.keys() if view.sources.hosts_first else settled
            pending = [name for name in self.names if name not in known]
            if view.conf in asked or not pending:
                continue
            asked.add(view.conf)
            replies, reasons = self._ask_servers(place, view, pending)
            told.obstacles.update(dict.fromkeys(reasons))
            for name, reply in replies.items():
                if reply.status in _DEFINITE or name not in told.replies:
                    told.replies[name] = reply

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


def _answers(told: Sequence[_Told]) -> Iterator[Answer]:
    """Yield the answers, but no runtime's copy of our hosts file, nor that only runtimes know a name of theirs."""
    theirs = {name for one in told if one.place.private for name in _found(one)}
    for one in told:
        ours = told[0].bound if one.place.private and one.place.inode == told[0].place.inode else {}
        for name, addresses in one.bound.items():
            if not set(addresses) <= set(ours.get(name, ())):
                yield _answer(name, one.place, "hosts", addresses)
        for name, reply in one.replies.items():
            if one.place.required or reply.status not in {"nodata", "nxdomain"} or name not in theirs:
                yield _answer(name, one.place, "dns", reply.addresses, reply)


def _found(told: _Told) -> set[str]:
    return {*told.bound, *(name for name, reply in told.replies.items() if reply.status == "ok")}


def _gaps(told: Sequence[_Told], names: Sequence[str]) -> Iterator[str]:
    """Say which names stayed without an answer, where and why: not asked, or not answered."""
    for one in told:
        near = [other for other in told if other.place.inode == one.place.inode]
        replies = {name: reply for other in near for name, reply in other.replies.items()}
        enough = near if one.place.required else told
        known = {name for other in enough for name in other.bound}
        known |= {name for other in enough for name, reply in other.replies.items() if reply.status in _DEFINITE}
        silent = [name for name in names if name not in known | replies.keys()]
        failed = [f"{name} ({reply.status})" for name, reply in replies.items() if name not in known]
        if silent:
            obstacles = dict.fromkeys(reason for other in near for reason in other.obstacles)
            yield f"{one.place.label}not asked: {_some(silent)}: {'; '.join(obstacles) or 'no resolv.conf was read'}"
        if failed:
            yield f"{one.place.label}not answered: {_some(failed)}"


def _answer(
    name: str, place: _Place, source: Literal["dns", "hosts"], addresses: Iterable[Address], reply: Reply | None = None
) -> Answer:
    return Answer(
        name=name,
        netns=place.inode,
        source=source,
        status=reply.status if reply else "ok",
        chain=reply.chain if reply else (),
        addresses=tuple(endpoint(address, name=name) for address in addresses),
        ttl=reply.ttl if reply else None,
        server=reply.server if reply else None,
        private=place.private,
    )


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
