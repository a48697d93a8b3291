"""Turns what was said into views: names that were asked for, answers to them, and whom clients said they wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.address import PUBLIC, parse, scope_of_network
from airgap_check.domain import bare, is_public, normal, reversed_network
from airgap_check.evidence import Answer, Connection, Question, Request, Resolver
from airgap_check.evidence.fact import Endpoint, endpoint
from airgap_check.survey.place import shown
from airgap_check.view import AnswerView, EncryptedDnsView, MentionView, QuestionView, RequestView, ResolvedView, YesNo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airgap_check.evidence.inspection import Inspection
    from airgap_check.policy import Policy
    from airgap_check.policy.allowlist import Allowlist
    from airgap_check.view import ConnectionView

_ENCRYPTED = frozenset({"dot", "doq", "doh"})
_SORTING = "connect"  # the state of a datagram socket that was seen to connect
_ENCRYPTED_PORT = 853  # RFC 7858 over TCP, RFC 9250 over UDP


class Hearsay:
    """What was said, under a policy; ``answers`` are all that were given or observed."""

    def __init__(self, inspection: Inspection, policy: Policy, allowlist: Allowlist) -> None:
        """Look up the search lists that names may have been completed from, the longest suffix first."""
        self._inspection, self._policy, self._allowlist = inspection, policy, allowlist
        self.answers = list(inspection.records(Answer))
        self._addresses: dict[str, list[Endpoint]] = {}
        for answer in self.answers:
            self._addresses.setdefault(normal(answer.name), []).extend(answer.addresses)
        suffixes = {normal(suffix) for resolver in inspection.records(Resolver) for suffix in resolver.search}
        self._search = sorted(filter(None, suffixes), key=lambda suffix: (-len(suffix), suffix))

    def addresses(self, name: str) -> list[Endpoint]:
        """Return every address that a name was seen to have."""
        return self._addresses.get(normal(name), [])

    def questions(self) -> Iterator[QuestionView]:
        """Yield each name that was asked for."""
        for question in self._inspection.records(Question):
            yield QuestionView(
                policy=self._policy.terms,
                record=question,
                name=self.base(question.name),
                asked=normal(question.name) or ".",
                public="yes" if self.is_public(question.name) else "no",
                allowed="yes" if self._is_listed(question.name) else "no",
            )

    def requests(self) -> Iterator[RequestView]:
        """Yield each request, with what the policy says of its destination and of the name that the client said."""
        for request in self._inspection.records(Request):
            remote = self._allowlist.scoped(request.remote)
            yield RequestView(
                policy=self._policy.terms,
                record=request,
                remote=remote,
                target=shown(remote),
                public="yes" if request.name and self.is_public(request.name) else "no",
                listed="yes" if request.name and self._is_listed(request.name) else "no",
                allowed=self._allowlist.connection(_connection(request)).allowed,
            )

    def mentions(self) -> Iterator[MentionView]:
        """Yield each name and peer that a question or a request is about."""
        for question in self._inspection.records(Question):
            yield MentionView(
                policy=self._policy.terms,
                record=question,
                name=self.base(question.name),
                means=question.protocol,
                remote=self._allowlist.scoped(question.server),
                target=shown(question.server),
            )
        for request in self._inspection.records(Request):
            yield MentionView(
                policy=self._policy.terms,
                record=request,
                name=normal(request.name) if request.name else None,
                means=request.source,
                remote=self._allowlist.scoped(request.remote),
                target=shown(request.remote),
            )

    def encrypted_dns(self, connections: Sequence[ConnectionView]) -> Iterator[EncryptedDnsView]:
        """Yield connections to the port of DNS over TLS or QUIC, and other requests that are known to be DNS."""
        dialled = set()
        streams = {view.remote.address for view in connections if _is_encrypted_stream(view)}
        for view in connections:
            connection = view.record
            if connection.state == _SORTING and view.remote.address in streams:
                continue  # getaddrinfo(3) connects a datagram socket, which sends nothing, before the stream
            if view.remote.port == _ENCRYPTED_PORT and connection.protocol in {"tcp", "udp"}:
                dialled.add((connection.protocol, view.remote.address))
                yield EncryptedDnsView(
                    policy=view.policy,
                    record=_request(connection),
                    remote=view.remote,
                    target=view.target,
                    allowed=view.allowed,
                )
        for request in self._inspection.records(Request):
            known = request.remote.port == _ENCRYPTED_PORT and (request.protocol, request.remote.address) in dialled
            if request.source in _ENCRYPTED and not known:
                yield EncryptedDnsView(
                    policy=self._policy.terms,
                    record=request,
                    remote=self._allowlist.scoped(request.remote),
                    target=shown(request.remote),
                    allowed=self._allowlist.connection(_connection(request)).allowed,
                )

    def named(self) -> Iterator[AnswerView]:
        """Yield what was said of the names that we asked for; of those observed, what was said of approved ones.

        Others may ask for what we do not (records for mail, IPv6), so that an empty answer to them is none where there
        is a better one.
        """
        for answer in self.answers:
            name = normal(answer.name)
            if answer.source != "observed" or (not self.addresses(name) and self._allowlist.covers_name(name)):
                yield AnswerView(policy=self._policy.terms, record=answer)

    def resolved(self) -> Iterator[ResolvedView]:
        """Yield each address that an approved name was seen to lead to."""
        for answer in self.answers:
            if answer.source == "observed" and not self._allowlist.covers_name(answer.name):
                continue
            approved: YesNo = "yes" if self._allowlist.approves_public(answer.name) else "no"
            for end in answer.addresses:
                remote = self._allowlist.scoped(end)
                yield ResolvedView(policy=self._policy.terms, record=answer, remote=remote, public=approved)

    def base(self, name: str) -> str:
        """Take the suffix of a search list off a name."""
        name = normal(name)
        suffix = next((suffix for suffix in self._search if name.endswith("." + suffix)), None)
        return name.removesuffix(f".{suffix}") if suffix else name or "."

    def _is_listed(self, name: str) -> bool:
        """Tell whether an entry names it; an attribute of a name (``_ldap._tcp.NAME``) is part of it."""
        return self._allowlist.covers_name(name) or self._allowlist.covers_name(bare(name))

    def is_public(self, name: str) -> bool:
        """Tell whether a name belongs to the public tree; where an address stands, its scope tells.

        It is the whole name that counts, as that is what name servers are asked: completed by a suffix of the site's
        own, a public name stays inside.
        """
        address = parse(name)
        if address is not None:
            return self._allowlist.scoped(endpoint(address)).scope in PUBLIC
        if not is_public(name, self._policy.file.networks.domains):
            return False
        network = reversed_network(name)
        return network is None or (scope_of_network(network) in PUBLIC and not self._policy.is_internal(network))


def _connection(request: Request) -> Connection:
    """Return the connection that a request was made on, as far as it shows."""
    return Connection(
        netns=request.netns,
        protocol=request.protocol,
        state="request",
        direction="outbound",
        local=Endpoint(),
        remote=request.remote,
        process=request.process,
        workload=request.workload,
        user=request.user,
        ownerless=request.process is None and request.seen != "attempts",
        first=request.first,
        seen=request.seen,
    )


def _is_encrypted_stream(view: ConnectionView) -> bool:
    return view.remote.port == _ENCRYPTED_PORT and view.record.protocol == "tcp"


def _request(connection: Connection) -> Request:
    """Return what a connection to the port of encrypted DNS amounts to."""
    return Request(
        netns=connection.netns,
        source="dot" if connection.protocol == "tcp" else "doq",
        hidden="encrypted-dns",
        protocol=connection.protocol,
        remote=connection.remote,
        process=connection.process,
        workload=connection.workload,
        user=connection.user,
        count=connection.count,
        first=connection.first,
        last=connection.last,
        seen=connection.seen,
    )
