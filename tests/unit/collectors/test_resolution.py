"""The collector, over views of a host that the tests lay down; what it sends goes to a function of the test."""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeVar

import pytest

from airgap_check.collectors import resolution
from airgap_check.evidence import Answer, Evidence, Resolver
from airgap_check.kernel import netns
from airgap_check.kernel.netns import Namespace
from airgap_check.names import nsswitch, query, resolv_conf, vantage
from airgap_check.names.query import Reply, Server
from airgap_check.names.vantage import Panorama, Vantage
from tests.unit.names.tree import DENIED, Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")
HOST = netns.own_inode()
POD = HOST + 1
NAMESPACES = [Namespace(HOST, "process"), Namespace(POD, "process")]
DB, WWW = "db.bank.example", "www.bank.example"
FOUND = Reply("ok", (), (ip_address("10.0.0.5"),), 60, "10.0.0.53")


def view(
    netns: int, resolv: str, hosts: str | OSError = "", nss: str = "", source: str = "/etc/resolv.conf"
) -> Vantage:
    return Vantage(netns, Tree({"/etc/hosts": hosts}), resolv_conf.parse(resolv), nsswitch.parse(nss), source)


def runtime(netns: int, resolv: str, hosts: str | OSError = "", nss: str = "") -> Vantage:
    """Show how a runtime in a mount namespace of its own sees names."""
    return view(netns, resolv, hosts, nss, "/etc/resolv.conf of container x")._replace(standing="runtime")


class Wire:
    """Stands where the questions would be sent: remembers who was asked what, and from where."""

    def __init__(self, replies: Mapping[str, Reply | list[Reply]]) -> None:
        self.replies = replies
        self.asked: list[tuple[list[str], list[str]]] = []
        self.entered: list[int] = []

    def ask(
        self, questions: Mapping[str, tuple[str, ...]], servers: Sequence[Server], _deadline: float | None
    ) -> dict[str, Reply]:
        self.asked.append((list(questions), [str(server.address) for server in servers]))
        found = {name: self.replies[name] for name in questions if name in self.replies}
        return {name: reply.pop(0) if isinstance(reply, list) else reply for name, reply in found.items()}

    def inside(self, namespace: Namespace, work: Callable[[], T]) -> T:
        self.entered.append(namespace.inode)
        return work()


class Site:
    """A host as the collector would find it; the first view is ours, unless nothing could be seen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.wire = Wire({})

    def collect(
        self,
        views: Sequence[Vantage],
        names: Sequence[str] = (),
        replies: Mapping[str, Reply | list[Reply]] | None = None,
        failures: tuple[str, ...] = (),
        namespaces: Sequence[Namespace] = NAMESPACES,
        *,
        ask: bool = True,
        hosts_runtime: bool = False,
        disbelieved: tuple[str, ...] = (),
    ) -> Evidence:
        self.wire = Wire(replies or {})
        seen = (*(first._replace(standing="own") for first in views[:1]), *views[1:])
        panorama = Panorama(HOST, seen, {HOST: [os.getpid()]}, failures, hosts_runtime, disbelieved)
        self._patch.setattr(vantage, "survey", lambda _subjects, _deadline: panorama)
        self._patch.setattr(query, "ask", self.wire.ask)
        self._patch.setattr(netns, "inside", self.wire.inside)
        return resolution.collect(names, namespaces, (), ask, None)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(monkeypatch)


def answers(evidence: Evidence) -> list[Answer]:
    return [record for record in evidence.records if isinstance(record, Answer)]


def resolvers(evidence: Evidence) -> list[Resolver]:
    return [record for record in evidence.records if isinstance(record, Resolver)]


def test_a_search_list_counts_where_it_is_ours_or_a_runtime_s_and_nobody_else_s(site: Site) -> None:
    other = view(POD, "nameserver 10.0.0.54\nsearch evil.com", source="/etc/resolv.conf of process x")
    ours = "nameserver 10.0.0.53\nsearch bank.example lan.bank.example"
    evidence = site.collect([view(HOST, ours), other, runtime(POD, "nameserver 10.0.0.55\nsearch pod.local")])
    assert {(found.address, found.search) for found in resolvers(evidence)} == {
        ("10.0.0.53", ("bank.example", "lan.bank.example")), ("10.0.0.54", ()), ("10.0.0.55", ("pod.local",)),
    }  # fmt: skip


def test_of_equal_views_the_one_that_is_believed_tells_and_ours_comes_first(site: Site) -> None:
    equal = "nameserver 10.0.0.55\nsearch pod.local"
    views = [view(HOST, "nameserver 10.0.0.53"), view(POD, equal, source="x"), runtime(POD, equal)]
    assert [(found.address, found.search) for found in resolvers(site.collect(views))] == [
        ("10.0.0.53", ()), ("10.0.0.55", ("pod.local",)),
    ]  # fmt: skip


def test_an_answer_says_who_was_asked_from_where_and_what_came_back(site: Site) -> None:
    public = Reply("ok", ("cdn.example",), (ip_address("8.8.8.8"), ip_address("64:ff9b::a00:1")), 5, "10.0.0.53")
    evidence = site.collect([view(HOST, "nameserver 10.0.0.53")], [DB, WWW, DB], {DB: FOUND, WWW: public})
    assert evidence.status == "complete", evidence.reason
    assert evidence.counts == {"resolvers": 1, "names": 2, "asked": 2, "in_hosts": 0}
    assert resolvers(evidence) == [
        Resolver(netns=HOST, address="10.0.0.53", scope="private", source="/etc/resolv.conf")
    ]
    first, second = answers(evidence)
    assert (first.name, first.netns, first.source, first.ttl, first.server) == (DB, HOST, "dns", 60, "10.0.0.53")
    assert second.chain == ("cdn.example",)
    assert [(end.address, end.inner, end.scope, end.port, end.name) for end in second.addresses] == [
        ("8.8.8.8", None, "public", None, WWW),
        ("64:ff9b::a00:1", "10.0.0.1", "private", None, WWW),
    ]
    assert site.wire.asked == [([DB, WWW], ["10.0.0.53"])]


@pytest.mark.parametrize("status", ["timeout", "servfail", "refused", "error", "dangling"])
def test_a_name_without_a_definite_answer_is_a_gap_that_is_named(site: Site, status: query.Status) -> None:
    evidence = site.collect([view(HOST, "nameserver 10.0.0.53")], [DB, WWW], {DB: Reply(status), WWW: FOUND})
    assert (evidence.status, evidence.reason) == ("partial", f"not answered: {DB} ({status})")
    assert [answer.status for answer in answers(evidence)] == [status, "ok"]


@pytest.mark.parametrize("status", ["nodata", "nxdomain"])
def test_that_a_name_does_not_exist_is_an_answer(site: Site, status: query.Status) -> None:
    evidence = site.collect([view(HOST, "nameserver 10.0.0.53")], [DB], {DB: Reply(status)})
    assert (evidence.status, answers(evidence)[0].status) == ("complete", status)


def test_many_gaps_are_said_in_few_words(site: Site) -> None:
    names = [f"n{number}.example" for number in range(12)]
    evidence = site.collect([view(HOST, "nameserver 10.0.0.53")], names, dict.fromkeys(names, Reply("timeout")))
    assert evidence.reason.endswith("n4.example (timeout) and 7 more")


def test_only_the_internal_servers_of_a_resolv_conf_are_asked(site: Site) -> None:
    mixed = view(HOST, "nameserver 8.8.8.8\nnameserver 10.0.0.53\nnameserver 169.254.169.254\n")
    evidence = site.collect([mixed], [DB], {DB: FOUND})
    assert site.wire.asked == [([DB], ["10.0.0.53"])]
    assert [found.scope for found in resolvers(evidence)] == ["public", "private", "metadata"]
    assert evidence.status == "complete"
    evidence = site.collect([view(HOST, "nameserver 8.8.8.8\nnameserver 9.9.9.9\n")], [DB], {DB: FOUND})
    assert site.wire.asked == []
    assert evidence.reason == f"not asked: {DB}: 8.8.8.8 is public; 9.9.9.9 is public"


def test_without_asking_names_are_partial_and_nothing_is_complete(site: Site) -> None:
    view_ = view(HOST, "nameserver 10.0.0.53", f"10.0.0.9 {DB}")
    evidence = site.collect([view_], [DB, WWW], {WWW: FOUND}, ask=False)
    assert (evidence.status, evidence.reason) == ("partial", "names were not asked for: --no-resolve")
    assert [answer.source for answer in answers(evidence)] == ["hosts"]
    assert site.wire.asked == []
    assert site.collect([view_], [], ask=False).status == "complete"


def test_a_name_that_the_hosts_file_binds_is_asked_for_only_if_dns_comes_first(site: Site) -> None:
    hosts = f"10.0.0.9 {DB}\nfd00::9 {DB}\n"
    evidence = site.collect([view(HOST, "nameserver 10.0.0.53", hosts)], [DB, WWW], {WWW: FOUND})
    assert evidence.status == "complete", evidence.reason
    assert site.wire.asked == [([WWW], ["10.0.0.53"])]
    bound, _ = answers(evidence)
    assert (bound.source, bound.server, bound.ttl) == ("hosts", None, None)
    assert [end.address for end in bound.addresses] == ["10.0.0.9", "fd00::9"]
    evidence = site.collect([view(HOST, "nameserver 10.0.0.53", hosts, "hosts: dns files")], [DB], {DB: FOUND})
    assert [answer.source for answer in answers(evidence)] == ["hosts", "dns"]
    evidence = site.collect([view(HOST, "nameserver 10.0.0.53", hosts, "hosts: dns")], [DB], {DB: FOUND})
    assert [answer.source for answer in answers(evidence)] == ["dns"]


def test_nobodys_files_but_ours_and_a_runtimes_say_where_a_name_leads_and_whom_we_ask(site: Site) -> None:
    """Any user mounts what he likes over /etc/hosts and /etc/resolv.conf, in namespaces of his own."""
    ours = view(HOST, "nameserver 10.0.0.53", f"10.0.0.9 {DB}")
    planted = view(HOST, "nameserver 10.66.6.53", f"10.66.6.6 {WWW}")
    evidence = site.collect([ours, planted], [DB, WWW], {WWW: Reply("nxdomain")}, hosts_runtime=True)
    assert site.wire.asked == [([WWW], ["10.0.0.53"])]
    assert [(answer.name, answer.source, answer.private) for answer in answers(evidence)] == [
        (DB, "hosts", False),
        (WWW, "dns", False),
    ]
    assert [found.address for found in resolvers(evidence)] == ["10.0.0.53", "10.66.6.53"]
    evidence = site.collect([ours, planted._replace(standing="runtime")], [DB, WWW], {WWW: FOUND})
    assert [(answer.name, answer.private) for answer in answers(evidence)] == [
        (DB, False),
        (WWW, False),
        (WWW, True),
    ]


def test_what_a_runtime_repeats_of_our_hosts_file_is_said_once(site: Site) -> None:
    ours = view(HOST, "nameserver 10.0.0.53", f"10.0.0.9 {DB}")
    same, other = (runtime(HOST, "nameserver 10.0.0.53", f"10.0.0.{last} {DB}") for last in (9, 8))
    assert [answer.private for answer in answers(site.collect([ours, same], [DB]))] == [False]
    assert [answer.private for answer in answers(site.collect([ours, other], [DB]))] == [False, True]
    pod = runtime(POD, "nameserver 10.0.0.53", f"10.0.0.9 {DB}")
    assert [answer.private for answer in answers(site.collect([ours, pod], [DB]))] == [False, True]


def test_a_hosts_file_that_cannot_be_read_is_a_gap(site: Site) -> None:
    evidence = site.collect([view(HOST, "nameserver 10.0.0.53", DENIED)], [DB], {DB: FOUND})
    assert (evidence.status, evidence.reason) == (
        "partial",
        "may not read /etc/hosts (Permission denied) as /etc/resolv.conf is read",
    )


def test_names_are_asked_as_we_see_them_and_as_each_runtime_does(site: Site) -> None:
    views = [
        view(HOST, "nameserver 10.0.0.53", f"10.0.0.9 {WWW}"),
        runtime(POD, "nameserver 10.0.0.54", f"10.0.0.8 {DB}"),
        runtime(POD, "nameserver 10.0.0.54", f"10.0.0.7 {DB}"),
    ]
    evidence = site.collect(views, [DB, WWW], {DB: Reply("nxdomain"), WWW: FOUND})
    assert evidence.status == "complete", evidence.reason
    assert site.wire.asked == [([DB], ["10.0.0.53"]), ([WWW], ["10.0.0.54"])]
    assert site.wire.entered == [HOST, POD]
    found = {(answer.name, answer.netns, answer.source): answer for answer in answers(evidence)}
    assert found.keys() == {(WWW, HOST, "hosts"), (DB, POD, "hosts"), (WWW, POD, "dns")}
    assert [answer.private for answer in found.values()] == [False, True, True]
    assert [end.address for end in found[DB, POD, "hosts"].addresses] == ["10.0.0.8", "10.0.0.7"]


def test_that_we_do_not_know_a_runtimes_names_is_neither_an_answer_nor_a_gap(site: Site) -> None:
    """Names of a cluster, or of a container engine, exist only inside."""
    pod = runtime(POD, "nameserver 10.0.0.54")
    for ours, replies in (
        ("nameserver 10.0.0.53", [Reply("nxdomain"), FOUND]),
        ("nameserver 10.0.0.53", [Reply("nodata"), FOUND]),
        ("nameserver 8.8.8.8", [FOUND]),
    ):
        evidence = site.collect([view(HOST, ours), pod], [DB], {DB: list(replies)})
        assert evidence.status == "complete", evidence.reason
        assert [(answer.status, answer.private) for answer in answers(evidence)] == [("ok", True)]
    evidence = site.collect([view(HOST, "nameserver 10.0.0.53"), pod], [DB], {DB: [Reply("timeout"), FOUND]})
    assert evidence.status == "complete"
    assert [(answer.status, answer.private) for answer in answers(evidence)] == [("timeout", False), ("ok", True)]
    shared = [view(HOST, "nameserver 8.8.8.8"), pod]
    assert site.collect(shared, [DB], {DB: FOUND}, hosts_runtime=True).status == "partial"


def test_the_resolv_confs_of_one_namespace_are_tried_in_turn_until_one_is_sure(site: Site) -> None:
    views = [
        runtime(POD, "nameserver 10.0.0.53"),
        runtime(POD, "nameserver 10.0.0.53"),
        runtime(POD, "nameserver 8.8.8.8"),
        runtime(POD, "nameserver 10.0.0.54"),
    ]
    for first, second, status in (
        (Reply("servfail"), FOUND, "ok"),
        (Reply("servfail"), Reply("nxdomain"), "nxdomain"),
        (Reply("servfail"), Reply("timeout"), "servfail"),
    ):
        replies: dict[str, Reply | list[Reply]] = {DB: [first, second], WWW: FOUND}
        evidence = site.collect([view(HOST, "nameserver 9.9.9.9"), *views], [DB, WWW], replies)
        assert site.wire.asked == [([DB, WWW], ["10.0.0.53"]), ([DB], ["10.0.0.54"])]
        assert [(answer.name, answer.status) for answer in answers(evidence)] == [(DB, status), (WWW, "ok")]


@pytest.mark.parametrize("status", ["nodata", "nxdomain"])
def test_that_a_name_does_not_exist_ends_the_search_in_a_namespace(site: Site, status: query.Status) -> None:
    views = [view(HOST, "nameserver 10.0.0.53"), runtime(HOST, "nameserver 10.0.0.54")]
    evidence = site.collect(views, [DB], {DB: [Reply(status), FOUND]}, hosts_runtime=True)
    assert site.wire.asked == [([DB], ["10.0.0.53"])]
    assert [answer.status for answer in answers(evidence)] == [status]


def test_a_runtimes_namespace_that_cannot_be_entered_is_a_gap(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    host, pod = view(HOST, "nameserver 9.9.9.9"), runtime(POD, "nameserver 10.0.0.54")
    evidence = site.collect([host, pod], [DB], {DB: FOUND}, namespaces=[])
    assert f"in network namespace {POD}: not asked: {DB}: the network namespace cannot be" in evidence.reason

    def refuse(_namespace: Namespace, _work: object) -> None:
        raise DENIED

    monkeypatch.setattr(Wire, "inside", lambda _self, namespace, work: refuse(namespace, work))
    evidence = site.collect([host, pod], [DB], {DB: FOUND})
    assert evidence.reason.endswith("could not enter the network namespace: Permission denied")
    assert answers(evidence) == []


def test_a_server_that_cannot_be_read_is_an_unknown_one_and_the_others_are_asked(site: Site) -> None:
    evidence = site.collect([view(HOST, "nameserver ns.example\nnameserver 10.0.0.53")], [DB], {DB: FOUND})
    assert [(found.address, found.scope, found.source) for found in resolvers(evidence)] == [
        ("10.0.0.53", "private", "/etc/resolv.conf"),
        (None, "unknown", "nameserver ns.example in /etc/resolv.conf"),
    ]
    assert site.wire.asked == [([DB], ["10.0.0.53"])]


def test_a_runtime_whose_files_are_a_users_own_is_named(site: Site) -> None:
    (blind, _) = site.collect([view(HOST, "nameserver 10.0.0.53")], disbelieved=("process node",)).blind
    assert blind.endswith("decides its files: process node")


def test_our_own_namespace_needs_nobody_to_have_found_it(site: Site) -> None:
    evidence = site.collect([view(HOST, "nameserver 10.0.0.53")], [DB], {DB: FOUND}, namespaces=[])
    assert (evidence.status, site.wire.entered) == ("complete", [HOST])


def test_a_name_without_a_dot_needs_a_search_domain(site: Site) -> None:
    evidence = site.collect([view(HOST, "nameserver 10.0.0.53")], ["db", DB], {DB: FOUND})
    assert evidence.reason == "not asked: db: a name without a dot needs a search domain"
    evidence = site.collect([view(HOST, "nameserver 10.0.0.53\nsearch bank.example")], ["db"], {"db": FOUND})
    assert evidence.status == "complete"


def test_names_for_which_there_was_no_time_are_named(site: Site) -> None:
    evidence = site.collect([view(HOST, "nameserver 10.0.0.53")], [DB, WWW], {DB: FOUND})
    assert (evidence.status, evidence.reason) == ("partial", f"not asked: {WWW}: no time left")


def test_what_nobody_could_see_is_a_gap_and_nothing_at_all_is_unavailable(site: Site) -> None:
    evidence = site.collect([view(HOST, "nameserver 10.0.0.53")], failures=("3 processes hide",))
    assert (evidence.status, evidence.reason) == ("partial", "3 processes hide")
    evidence = site.collect([], failures=("may not read /etc/resolv.conf",))
    assert (evidence.status, evidence.records) == ("unavailable", ())


def test_blind_spots_are_said(site: Site) -> None:
    (blind,) = site.collect([view(HOST, "nameserver 10.0.0.53")]).blind
    assert blind == "where name servers on other machines forward to"
    pod = view(POD, "nameserver 127.0.0.11\n# ExtServers: [10.0.0.53]", nss="hosts: files mdns4_minimal sss dns")
    blind, running, _ = site.collect([view(HOST, ""), pod]).blind
    assert blind == "what mdns4_minimal, sss of nsswitch.conf would say"
    assert "while they ran" in running


def test_the_same_server_in_many_views_is_one_record_for_each_namespace(site: Site) -> None:
    views = [view(HOST, "nameserver 10.0.0.53"), view(HOST, "nameserver 10.0.0.53"), view(POD, "nameserver 10.0.0.53")]
    assert [found.netns for found in resolvers(site.collect(views))] == [HOST, POD]


def test_nss_resolve_adds_what_systemd_resolved_forwards_to(site: Site) -> None:
    stub = view(HOST, "nameserver 10.0.0.53", nss="hosts: resolve [!UNAVAIL=return] dns")
    files = {
        "/run/systemd/resolve/resolv.conf": "nameserver 9.9.9.9\n",
        "/etc/systemd/resolved.conf": "#FallbackDNS=\n",
    }
    assert isinstance(stub.root, Tree)
    stub.root.files.update(files)
    found = [(record.address, record.via) for record in resolvers(site.collect([stub]))]
    assert found == [("10.0.0.53", None), ("9.9.9.9", "127.0.0.53")]
