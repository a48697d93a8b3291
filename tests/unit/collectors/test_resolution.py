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
    """A host as the collector would find it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.wire = Wire({})

    def collect(  # noqa: PLR0917  (as the collector itself)
        self,
        views: Sequence[Vantage],
        names: Sequence[str] = (),
        replies: Mapping[str, Reply | list[Reply]] | None = None,
        subjects: Sequence[int] = (),
        failures: tuple[str, ...] = (),
        namespaces: Sequence[Namespace] = NAMESPACES,
        *,
        ask: bool = True,
    ) -> Evidence:
        self.wire = Wire(replies or {})
        panorama = Panorama(HOST, tuple(views), {HOST: [os.getpid()]}, failures)
        self._patch.setattr(vantage, "survey", lambda _subjects, _deadline: panorama)
        self._patch.setattr(query, "ask", self.wire.ask)
        self._patch.setattr(netns, "inside", self.wire.inside)
        return resolution.collect(names, namespaces, subjects, ask, None)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(monkeypatch)


def answers(evidence: Evidence) -> list[Answer]:
    return [record for record in evidence.records if isinstance(record, Answer)]


def resolvers(evidence: Evidence) -> list[Resolver]:
    return [record for record in evidence.records if isinstance(record, Resolver)]


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


def test_the_hosts_files_of_others_count_only_where_a_subject_runs(site: Site) -> None:
    views = [view(HOST, "", f"10.0.0.9 {DB}"), view(HOST, "search x", f"10.0.0.8 {WWW}")]
    assert [answer.name for answer in answers(site.collect(views, [DB, WWW]))] == [DB]
    assert [answer.name for answer in answers(site.collect(views, [DB, WWW], subjects=[HOST]))] == [DB, WWW]


def test_a_hosts_file_that_cannot_be_read_is_a_gap(site: Site) -> None:
    evidence = site.collect([view(HOST, "nameserver 10.0.0.53", DENIED)], [DB], {DB: FOUND})
    assert (evidence.status, evidence.reason) == (
        "partial",
        "may not read /etc/hosts (Permission denied) as /etc/resolv.conf is read",
    )


def test_names_are_asked_from_the_namespaces_of_the_subjects(site: Site) -> None:
    views = [
        view(HOST, "nameserver 10.0.0.53", f"10.0.0.9 {WWW}"),
        view(POD, "nameserver 10.0.0.54", f"10.0.0.8 {DB}", source="/etc/resolv.conf of container x"),
        view(POD, "nameserver 10.0.0.54", f"10.0.0.7 {DB}"),
    ]
    evidence = site.collect(views, [DB, WWW], {WWW: FOUND}, [POD])
    assert evidence.status == "complete", evidence.reason
    assert (site.wire.asked, site.wire.entered) == ([([WWW], ["10.0.0.54"])], [POD])
    found = {(answer.name, answer.netns, answer.source): answer for answer in answers(evidence)}
    assert found.keys() == {(WWW, HOST, "hosts"), (DB, POD, "hosts"), (WWW, POD, "dns")}
    assert [end.address for end in found[DB, POD, "hosts"].addresses] == ["10.0.0.8", "10.0.0.7"]
    evidence = site.collect(views, [DB, WWW], {DB: FOUND, WWW: FOUND}, [HOST, POD, HOST])
    assert site.wire.entered == [HOST, POD]


def test_the_resolv_confs_of_one_namespace_are_tried_in_turn_until_a_name_is_found(site: Site) -> None:
    views = [
        view(POD, "nameserver 10.0.0.53"),
        view(POD, "nameserver 10.0.0.53"),
        view(POD, "nameserver 8.8.8.8"),
        view(POD, "nameserver 10.0.0.54"),
    ]
    for second, status in ((FOUND, "ok"), (Reply("timeout"), "nxdomain")):
        replies: dict[str, Reply | list[Reply]] = {DB: [Reply("nxdomain"), second], WWW: FOUND}
        evidence = site.collect([view(HOST, ""), *views], [DB, WWW], replies, [POD])
        assert site.wire.asked == [([DB, WWW], ["10.0.0.53"]), ([DB], ["10.0.0.54"])]
        assert [(answer.name, answer.status) for answer in answers(evidence)] == [(DB, status), (WWW, "ok")]
        assert evidence.status == "complete"


def test_a_subject_that_has_gone_or_cannot_be_entered_is_a_gap(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    host = view(HOST, "nameserver 10.0.0.53")
    evidence = site.collect([host], [DB], {DB: FOUND}, [POD])
    assert evidence.reason == (
        f"in network namespace {POD}: not asked: {DB}: no process is left there to tell its resolver"
    )
    pod = view(POD, "nameserver 10.0.0.54")
    evidence = site.collect([host, pod], [DB], {DB: FOUND}, [POD], namespaces=[])
    assert "cannot be entered any more" in evidence.reason

    def refuse(_namespace: Namespace, _work: object) -> None:
        raise DENIED

    monkeypatch.setattr(Wire, "inside", lambda _self, namespace, work: refuse(namespace, work))
    evidence = site.collect([host, pod], [DB], {DB: FOUND}, [POD])
    assert evidence.reason.endswith("could not enter the network namespace: Permission denied")
    assert answers(evidence) == []


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
