"""Gives the addresses of the sealed world the names that they stand for, in every record of a rehearsal.

The world answers each name with an address of its own, so that there is no doubt which name a connection is to.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from msgspec.structs import replace

from airgap_check.domain import is_public
from airgap_check.evidence import Answer, Connection, Question, Request
from airgap_check.evidence.fact import Endpoint, endpoint
from airgap_check.evidence.rehearsed import Encounter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airgap_check.address import Scope
    from airgap_check.evidence import AnyRecord, Evidence
    from airgap_check.evidence.fact import Workload


class Register:
    """Which name each address of the world stands for, and what such a name would be outside."""

    def __init__(self, names: Mapping[str, tuple[str, ...]], domains: Iterable[str]) -> None:
        """Take in what the world gave out, by name; ``domains`` are the suffixes of the site's own names."""
        self._names = names
        self._domains = tuple(domains)
        self._by_address = {address: name for name, addresses in names.items() for address in addresses}

    def scope(self, name: str) -> Scope:
        """Say where a name leads outside: to the public, unless it is the site's own or the public DNS knows it not."""
        return "public" if is_public(name, self._domains) else "private"

    def christened(self, end: Endpoint) -> Endpoint:
        """Return an endpoint with the name that its address stands for."""
        name = self._by_address.get(end.address or "") or (end.name if end.address is None else None)
        return replace(end, name=name, scope=self.scope(name)) if name else end

    def applied(self, evidence: Evidence, workload: Workload | None) -> Evidence:
        """Return evidence in which names stand where they are known, and everything is the rehearsed workload's.

        Where that is not known it is nobody's: the cgroup that the tool was called in says nothing of the command.
        """
        return replace(evidence, records=tuple(self._record(record, workload) for record in evidence.records))

    def answers(self, wanted: Iterable[str], netns: int) -> Iterator[Answer]:
        """State what the world said, or would have said, of names: those that nobody asked for have no address yet."""
        for name in dict.fromkeys(wanted):
            known = self._names.get(name, ())
            ends = (endpoint(ip_address(address), name=name, scope=self.scope(name)) for address in known)
            yield Answer(name=name, netns=netns, source="dns", status="ok", addresses=tuple(ends), server="the world")

    def _record(self, record: AnyRecord, workload: Workload | None) -> AnyRecord:
        if isinstance(record, Connection | Request | Encounter):
            record = replace(record, remote=self.christened(record.remote))
        if isinstance(record, Question):
            record = replace(record, server=self.christened(record.server))
        if "workload" in record.__struct_fields__:
            record = replace(record, workload=workload)
        return record
