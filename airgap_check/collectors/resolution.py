"""Collects how names are resolved on this host: by which servers, where those forward to, and what they say.

Only names that the caller was given are asked for, and only of servers that are internal together with everything
that they are known to forward to.
"""

from __future__ import annotations

import time
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
    from airgap_check.names.query import Reply, Server
    from airgap_check.names.vantage import Panorama, Vantage

_HOSTS = "/etc/hosts"
_HOSTS_LIMIT = 1 << 24  # bytes; block lists are long
_SHOWN = 5
_DEFINITE = frozenset({"ok", "nodata", "nxdomain"})
_REMOTE = "what a name server on another machine forwards to"
_RUNNING = "what a local forwarder was told while it ran (resolvectl, unbound-control, D-Bus): its files were read"


def collect(
    names: Sequence[str],
    namespaces: Sequence[Namespace],
    subjects: Sequence[int],
    ask: bool,  # noqa: FBT001  (an interface shared with the other collectors)
    deadline: float | None,
) -> Evidence:
    """Return the resolvers in use, and what is answered to ``names`` (host names, no wildcards).

    ``subjects`` are the network namespaces of the audited runtimes: names are looked up from there, or from our own
    namespace when there are none. ``deadline`` is a time.monotonic() value.
    """
    panorama = vantage.survey(deadline)
    own = panorama.vantages[0]
    forwarding = Forwarding(Responders(panorama.processes, FORWARDERS), own.origin, ProcessRoot)
    resolvers = list(dict.fromkeys(_resolvers(panorama.vantages, forwarding)))
    wanted = list(dict.fromkeys(names))
    inquiry = _Inquiry(panorama, {namespace.inode: namespace for namespace in namespaces}, forwarding, deadline)
    for inode in dict.fromkeys(subjects) or [own.netns]:
        inquiry.look_up(wanted, inode, ask=ask)
    if wanted and not ask:
        inquiry.gaps.append("names were not asked for: --no-resolve")
    gaps = [*panorama.failures, *inquiry.gaps, *_unanswered(inquiry.answers)]
    return Evidence(
        kind="resolution",
        status="partial" if gaps else "complete",
        records=(*resolvers, *inquiry.answers),
        reason="; ".join(dict.fromkeys(gaps)),
        scope=f"{len(panorama.vantages)} mount namespaces in {len(panorama.processes)} network namespaces",
        counts={"resolvers": len(resolvers), "names": len(wanted), "asked": inquiry.asked, "bound": inquiry.bound},
        blind=_blind(panorama, resolvers),
    )


def _resolvers(vantages: Iterable[Vantage], forwarding: Forwarding) -> Iterator[Resolver]:
    """Yield every server that is asked from somewhere on this host, each followed by those behind it."""
    seen = set()
    for here in vantages:
        if here.conf is None or (here.netns, here.conf) in seen:
            continue
        seen.add((here.netns, here.conf))
        for address, _ in here.conf.nameservers:
            yield Resolver(netns=here.netns, address=str(address), scope=scope_of(address), source=here.source)
            yield from forwarding.follow(here.origin, address).resolvers
        if "resolve" in here.sources.names:
            yield from forwarding.through_resolved(here.origin).resolvers


class _Inquiry:
    """Looks names up from one namespace after the other, and keeps what was answered and what was not."""

    def __init__(
        self, panorama: Panorama, namespaces: dict[int, Namespace], forwarding: Forwarding, deadline: float | None
    ) -> None:
        self._panorama = panorama
        self._namespaces = namespaces
        self._forwarding = forwarding
        self._deadline = deadline
        self.answers: list[Answer] = []
        self.gaps: list[str] = []
        self.asked = self.bound = 0

    def look_up(self, names: Sequence[str], inode: int, *, ask: bool) -> None:
        """Look names up as the processes in a network namespace would: in their hosts files, then of their servers."""
        here = [view for view in self._panorama.vantages if view.netns == inode]
        if not here:
            self.gaps.append("the network namespace of a runtime has no process whose resolv.conf could be read")
            return
"""
