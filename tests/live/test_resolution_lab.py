"""Names looked up with real name servers: dnsmasq and unbound (Debian packages dnsmasq-base and unbound)."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from airgap_check.evidence import Answer, Evidence, Resolver
from tests.live.lab import CONTAINER, DATABASE, GATEWAY, NEAR, NOBODY, RESOLVER, checker_environment
from tests.live.lab_host import PYTHON

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.lab import Lab
    from tests.live.lab_host import Host

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        not (shutil.which("dnsmasq", path="/usr/sbin:/usr/bin") and shutil.which("unbound", path="/usr/sbin:/usr/bin")),
        reason="needs dnsmasq and unbound (Debian packages dnsmasq-base and unbound)",
    ),
]

NAME = "db1.bank.example"
GOOGLE, CDN = "8.8.8.8", "151.101.1.6"
COLLECT = """
import sys, time, msgspec
from airgap_check.collectors import resolution
from airgap_check.kernel import netns
names, subjects, ask = msgspec.json.decode(sys.argv[1])
seen = resolution.collect(names, netns.discover()[0], subjects, ask, time.monotonic() + 60)
sys.stdout.buffer.write(msgspec.json.encode(seen))
"""


SURVEY = COLLECT.replace("netns.discover()[0]", "()")


def collect(
    lab: Lab, *names: str, subjects: tuple[int, ...] = (), ask: bool = True, user: tuple[int, int] | None = None
) -> Evidence:
    argv = [sys.executable, "-c", COLLECT, msgspec.json.encode((names, subjects, ask)).decode()]
    return msgspec.json.decode(lab.near.check(argv, env=checker_environment(user), user=user), type=Evidence)


def answers(evidence: Evidence) -> dict[str, Answer]:
    found = [record for record in evidence.records if isinstance(record, Answer)]
    assert len({answer.name for answer in found}) == len(found)
    return {answer.name: answer for answer in found}


def resolvers(evidence: Evidence) -> set[tuple[str | None, str, str | None]]:
    found = [record for record in evidence.records if isinstance(record, Resolver)]
    return {(resolver.address, resolver.scope, resolver.via) for resolver in found}


def addresses(answer: Answer) -> set[tuple[str | None, str]]:
    return {(end.address, end.scope) for end in answer.addresses}


def dnsmasq(host: Host, *options: str) -> None:
    """Start dnsmasq; its first process ends when the sockets are open."""
    host.check(["dnsmasq", "--conf-file=/dev/null", "--pid-file=", "--user=root", "--group=root", *options])


def unbound(host: Host, configuration: str) -> None:
    """Start unbound on 127.0.0.1; its first process ends when it serves."""
    server = 'server: chroot: "" username: "" pidfile: "" use-syslog: no interface: 127.0.0.1 module-config: "iterator"'
    host.write("/etc/unbound/unbound.conf", f"{server} do-ip6: no\n{configuration}\n")
    host.check(["unbound", "-c", "/etc/unbound/unbound.conf"])


@pytest.fixture
def site(lab: Lab) -> Iterator[Lab]:
    """Give the far host a name server for the bank's names and one public one that logs what it is asked."""
    lab.assign(RESOLVER)
    lab.assign(GOOGLE)
    many = "".join(f"10.30.{number // 250}.{number % 250 + 1} many.bank.example\n" for number in range(400))
    lab.far.write("/run/lab/many", many)
    dnsmasq(
        lab.far, "--no-resolv", "--no-hosts", f"--listen-address={RESOLVER}", "--bind-interfaces",
        "--addn-hosts=/run/lab/many", "--local=/bank.example/hoster.example/cdn.example/", "--local-ttl=30",
        f"--host-record={NAME},{DATABASE}", "--host-record=six.bank.example,fd99::77",
        f"--host-record=both.bank.example,{DATABASE},fd99::77",
        "--host-record=db.corp.bank.example,10.20.0.9",
        "--cname=www.bank.example,www.hoster.example", "--cname=www.hoster.example,edge.cdn.example",
        f"--host-record=edge.cdn.example,{CDN}",
    )  # fmt: skip
    dnsmasq(
        lab.far, "--no-resolv", "--no-hosts", f"--listen-address={GOOGLE}", "--bind-interfaces",
        "--log-queries", "--log-facility=/run/lab/public.log", f"--host-record={NAME},{CDN}",
    )  # fmt: skip
    yield lab
    log = lab.far.path("/run/lab/public.log").read_text()
    assert "started" in log
    assert "query[" not in log, "a public resolver was asked"


def test_the_whole_chain_is_reported_when_only_its_second_alias_is_public(site: Lab) -> None:
    evidence = collect(site, "www.bank.example", NAME)
    assert evidence.status == "complete", evidence.reason
    assert resolvers(evidence) == {(RESOLVER, "private", None)}
    found = answers(evidence)
    assert found["www.bank.example"].chain == ("www.hoster.example", "edge.cdn.example")
    assert addresses(found["www.bank.example"]) == {(CDN, "public")}
    assert found["www.bank.example"].addresses[0].name == "www.bank.example"
    assert (found[NAME].status, found[NAME].chain, found[NAME].ttl, found[NAME].server) == ("ok", (), 30, RESOLVER)
    assert addresses(found[NAME]) == {(DATABASE, "private")}


def test_an_answer_too_long_for_a_datagram_is_fetched_over_tcp(site: Lab) -> None:
    (answer,) = answers(collect(site, "many.bank.example")).values()
    assert len(answer.addresses) == 400


def test_ipv6_addresses_are_asked_for_too(site: Lab) -> None:
    found = answers(collect(site, "six.bank.example", "both.bank.example"))
    assert addresses(found["six.bank.example"]) == {("fd99::77", "private")}
    assert addresses(found["both.bank.example"]) == {(DATABASE, "private"), ("fd99::77", "private")}


def test_a_name_that_does_not_exist_is_an_answer_and_no_gap(site: Lab) -> None:
    evidence = collect(site, "gone.bank.example")
    assert evidence.status == "complete"
    assert answers(evidence)["gone.bank.example"].status == "nxdomain"


def test_a_name_that_the_server_refuses_is_a_gap(site: Lab) -> None:
    evidence = collect(site, "elsewhere.example")
    assert answers(evidence)["elsewhere.example"].status == "refused"
    assert (evidence.status, evidence.reason) == ("partial", "not answered: elsewhere.example (refused)")


def test_a_silent_server_is_a_gap_and_the_next_one_is_asked(site: Lab) -> None:
    site.near.write("/etc/resolv.conf", "nameserver 10.20.0.99\n")
    evidence = collect(site, NAME)
    assert answers(evidence)[NAME].status == "timeout"
    assert (evidence.status, evidence.reason) == ("partial", f"not answered: {NAME} (timeout)")
    site.near.write("/etc/resolv.conf", f"nameserver 10.20.0.99\nnameserver {RESOLVER}\n")
    evidence = collect(site, NAME)
    assert (evidence.status, answers(evidence)[NAME].server) == ("complete", RESOLVER)


def test_a_public_resolver_is_reported_and_never_asked(site: Lab) -> None:
    site.near.write("/etc/resolv.conf", f"nameserver {GOOGLE}\n")
    before = site.near.counters()
    evidence = collect(site, NAME)
    assert site.near.counters() == before
    assert resolvers(evidence) == {(GOOGLE, "public", None)}
    assert (evidence.status, evidence.reason) == ("partial", f"not asked: {NAME}: {GOOGLE} is public")
    site.near.write("/etc/resolv.conf", f"nameserver {GOOGLE}\nnameserver {RESOLVER}\n")
    evidence = collect(site, NAME)
    assert (evidence.status, addresses(answers(evidence)[NAME])) == ("complete", {(DATABASE, "private")})


def test_a_local_dnsmasq_is_asked_when_it_forwards_to_an_internal_server(site: Lab) -> None:
    site.near.write("/etc/resolv.conf", "nameserver 127.0.0.1\n")
    site.near.write("/etc/site.conf", f"no-resolv # only this\nserver={RESOLVER}\n")
    dnsmasq(site.near, "--conf-file=/etc/site.conf", "--listen-address=127.0.0.1", "--bind-interfaces")
    evidence = collect(site, NAME)
    assert evidence.status == "complete", evidence.reason
    assert resolvers(evidence) == {("127.0.0.1", "loopback", None), (RESOLVER, "private", "127.0.0.1")}
    assert addresses(answers(evidence)[NAME]) == {(DATABASE, "private")}


@pytest.mark.parametrize("where", ["command line", "configuration", "resolv-file"])
def test_a_local_dnsmasq_that_forwards_to_a_public_server_is_reported_and_never_asked(site: Lab, where: str) -> None:
    site.near.write("/etc/resolv.conf", "nameserver 127.0.0.1\n")
    site.near.write("/etc/dnsmasq.d/upstream.conf", f"server=/cloud.example/{GOOGLE}#53\n")
    site.near.write("/run/upstream.conf", f"nameserver {GOOGLE}\n")
    options = {
        "command line": ["--no-resolv", "-S", GOOGLE],
        "configuration": ["-R", "--conf-dir=/etc/dnsmasq.d,*.conf"],
        "resolv-file": ["-r/run/upstream.conf"],
    }
    dnsmasq(site.near, "--listen-address=127.0.0.1", "--bind-interfaces", *options[where])
    before = site.near.counters()
    evidence = collect(site, NAME)
    assert site.near.counters() == before
    assert resolvers(evidence) == {("127.0.0.1", "loopback", None), (GOOGLE, "public", "127.0.0.1")}
    assert evidence.reason == f"not asked: {NAME}: 127.0.0.1 forwards to {GOOGLE}: {GOOGLE} is public"


def test_a_local_unbound_is_asked_when_it_forwards_to_an_internal_server(site: Lab) -> None:
    site.near.write("/etc/resolv.conf", "nameserver 127.0.0.1\n")
    unbound(site.near, f'forward-zone: name: "." forward-addr: {RESOLVER}@53')
    evidence = collect(site, NAME, "www.bank.example")
    assert evidence.status == "complete", evidence.reason
    assert resolvers(evidence) == {("127.0.0.1", "loopback", None), (RESOLVER, "private", "127.0.0.1")}
    found = answers(evidence)
    assert addresses(found[NAME]) == {(DATABASE, "private")}
    assert found["www.bank.example"].chain == ("www.hoster.example", "edge.cdn.example")


def test_a_local_unbound_that_recurses_is_public_and_never_asked(site: Lab) -> None:
    site.near.write("/etc/resolv.conf", "nameserver 127.0.0.1\n")
    unbound(site.near, f'forward-zone:\n  name: "bank.example"\n  forward-addr: {RESOLVER}')
    before = site.near.counters()
    evidence = collect(site, NAME)
    assert site.near.counters() == before
    assert resolvers(evidence) == {
        ("127.0.0.1", "loopback", None),
        (RESOLVER, "private", "127.0.0.1"),
        (None, "public", "127.0.0.1"),
    }
    assert "127.0.0.1 forwards to the public root servers" in evidence.reason


def test_a_forwarder_behind_a_forwarder_is_followed(site: Lab) -> None:
    site.near.write("/etc/resolv.conf", "nameserver 127.0.0.2\n")
    unbound(site.near, f'forward-zone: name: "." forward-addr: {GOOGLE}')
    dnsmasq(site.near, "-R", "--server=127.0.0.1", "--listen-address=127.0.0.2", "--bind-interfaces")
    evidence = collect(site, NAME)
    assert resolvers(evidence) == {
        ("127.0.0.2", "loopback", None),
        ("127.0.0.1", "loopback", "127.0.0.2"),
        (GOOGLE, "public", "127.0.0.1"),
    }
    assert answers(evidence) == {}


def test_a_forwarder_on_an_address_of_this_very_host_is_no_other_machine(site: Lab) -> None:
    site.near.write("/etc/resolv.conf", f"nameserver {NEAR}\n")
    dnsmasq(site.near, "-R", "-S", GOOGLE)
    before = site.near.counters()
    evidence = collect(site, NAME)
    assert site.near.counters() == before
    assert resolvers(evidence) == {(NEAR, "private", None), (GOOGLE, "public", NEAR)}


def test_a_loopback_address_at_which_nobody_listens_is_not_asked(site: Lab) -> None:
    site.near.write("/etc/resolv.conf", "")
    evidence = collect(site, NAME)
    assert resolvers(evidence) == {("127.0.0.1", "loopback", None)}
    assert evidence.reason == f"not asked: {NAME}: nothing listens at 127.0.0.1 port 53"


def test_an_unknown_program_at_a_loopback_address_is_an_unknown_upstream(site: Lab) -> None:
    site.near.write("/etc/resolv.conf", "nameserver 127.0.0.1\n")
    site.near.plant("listener", "127.0.0.1", 53, "udp", name="coredns")
    before = site.near.counters()
    evidence = collect(site, NAME)
    assert site.near.counters() == before
    assert resolvers(evidence) == {("127.0.0.1", "loopback", None), (None, "unknown", "127.0.0.1")}
    assert evidence.status == "partial"


def container(lab: Lab, resolv_conf: str) -> int:
    """Start a container of sorts: mount and network namespace of its own, its own /etc; return its pid."""
    lab.near.write("/run/container/resolv.conf", resolv_conf)
    lab.near.write("/run/container/hosts", f"{CONTAINER} objectos\n10.20.0.6 db2.bank.example\n")
    script = (
        "for file in resolv.conf hosts; do mount --bind /run/container/$file /etc/$file; done;"
        "echo unwired; read word; echo ready; exec sleep 600"
    )
    running = lab.near.run(["unshare", "--mount", "--net", "sh", "-ec", script])
    running.expect("unwired")
    lab.wire_container(running.pid)
    running.go_on()
    running.expect("ready")
    return running.pid


def test_names_are_asked_from_the_runtimes_own_namespace_and_its_own_files(site: Lab) -> None:
    site.near.write("/etc/resolv.conf", f"nameserver {GOOGLE}\n")
    pid = container(site, f"search corp.bank.example\nnameserver {RESOLVER}\n")
    site.far.ip(f"route add {CONTAINER}/32 via {NEAR}")
    inode = site.near.path(f"/proc/{pid}/ns/net").stat().st_ino
    evidence = collect(site, NAME, "db", "db2.bank.example", subjects=(pid,))
    assert evidence.status == "complete", evidence.reason
    assert resolvers(evidence) == {(GOOGLE, "public", None), (RESOLVER, "private", None)}
    sources = {record.source for record in evidence.records if isinstance(record, Resolver)}
    assert sources == {"/etc/resolv.conf", "/etc/resolv.conf of process sleep"}
    found = answers(evidence)
    assert {(answer.netns, answer.private) for answer in found.values()} == {(inode, True)}
    assert addresses(found[NAME]) == {(DATABASE, "private")}
    assert addresses(found["db"]) == {("10.20.0.9", "private")}
    assert (found["db2.bank.example"].source, addresses(found["db2.bank.example"])) == (
        "hosts",
        {("10.20.0.6", "private")},
    )


USERS_OWN = """
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
user, group = os.getuid(), os.getgid()
assert libc.unshare(0x10000000 | (0x20000 if sys.argv[1] == "mounts" else 0)) == 0  # CLONE_NEWUSER, CLONE_NEWNS
for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
if sys.argv[1] == "mounts":
    for name in ("hosts", "resolv.conf"):
        assert libc.mount(f"/run/users/{name}".encode(), f"/etc/{name}".encode(), None, 4096, None) == 0
else:
    os.chroot("/run/users/root")
print("ready", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("as_runtime", [False, True])
@pytest.mark.parametrize("how", ["mounts", "chroot"])
def test_a_user_can_neither_bind_a_name_nor_aim_our_questions(site: Lab, how: str, *, as_runtime: bool) -> None:
    """He makes namespaces of his own, says otherwise there, and may even pass himself off as a runtime."""
    evil = site.assign("10.66.6.53")
    dnsmasq(
        site.far, "--no-resolv", "--no-hosts", f"--listen-address={evil}", "--bind-interfaces", "--log-queries",
        "--log-facility=/run/lab/evil.log", "--host-record=gone.bank.example,10.66.6.6",
    )  # fmt: skip
    for folder in ("/run/users", "/run/users/root/etc"):
        site.near.write(f"{folder}/hosts", f"10.66.6.6 {NAME}\n")
        site.near.write(f"{folder}/resolv.conf", f"nameserver {evil}\n")
    site.near.write("/run/users/own.py", USERS_OWN)
    running = site.near.run([PYTHON, "-I", "-S", "/run/users/own.py", how], user=NOBODY)
    running.expect("ready")
    evidence = collect(site, NAME, "gone.bank.example", subjects=(running.pid,) if as_runtime else ())
    assert evidence.status == "complete", evidence.reason
    found = answers(evidence)
    assert {(answer.netns, answer.private) for answer in found.values()} == {(found[NAME].netns, False)}
    assert addresses(found[NAME]) == {(DATABASE, "private")}
    assert found["gone.bank.example"].status == "nxdomain"
    assert "query[" not in site.far.path("/run/lab/evil.log").read_text()
    if how == "mounts":
        assert resolvers(evidence) == {(RESOLVER, "private", None), (evil, "private", None)}
        assert any("a user, not root" in blind for blind in evidence.blind) == as_runtime


@pytest.mark.parametrize("scene", ["unmounted", "empty", "stale", "subset"])
def test_without_a_proc_that_knows_us_nothing_is_said_and_nothing_crashes(site: Lab, scene: str) -> None:
    before = {
        "unmounted": "while umount -l /proc 2>/dev/null; do :; done",  # another may be mounted below
        "empty": "mount -t tmpfs none /proc",
        "stale": "true",
        "subset": "mount -t proc -o subset=pid proc /proc",
    }[scene]
    code = msgspec.json.encode(((NAME,), (), True)).decode()
    own_pids = ["--pid", "--fork"] if scene in {"stale", "subset"} else []
    script = f'{before}; exec "$@"'
    argv = ["unshare", "--mount", *own_pids, "sh", "-ec", script, "sh", sys.executable, "-c", SURVEY, code]
    evidence = msgspec.json.decode(site.near.check(argv, env=checker_environment()), type=Evidence)
    if scene in {"unmounted", "empty"}:
        assert (evidence.status, evidence.records) == ("unavailable", ())
        assert evidence.reason.startswith("/proc does not show our own process (No such file or directory)")
    else:
        assert addresses(answers(evidence)[NAME]) == {(DATABASE, "private")}


def test_a_forwarder_on_the_bridge_of_the_container_is_followed_into_the_host(site: Lab) -> None:
    pid = container(site, f"nameserver {GATEWAY}\n")
    dnsmasq(site.near, "-R", "-S", GOOGLE, f"--listen-address={GATEWAY}", "--bind-interfaces")
    evidence = collect(site, NAME, subjects=(pid,))
    assert resolvers(evidence) == {
        (RESOLVER, "private", None),
        (GATEWAY, "private", None),
        (GOOGLE, "public", GATEWAY),
    }
    assert {answer.private for answer in answers(evidence).values()} == {False}, "only we have a server to ask"
    assert evidence.status == "partial"


def test_without_asking_nothing_is_sent_and_that_is_said(site: Lab) -> None:
    before = site.near.counters()
    evidence = collect(site, NAME, ask=False)
    assert collect(site, ask=False).status == "complete"
    assert site.near.counters() == before
    assert (evidence.status, evidence.reason) == ("partial", "names were not asked for: --no-resolve")
    assert resolvers(evidence) == {(RESOLVER, "private", None)}


def test_a_name_in_the_hosts_file_is_not_asked_for(site: Lab) -> None:
    site.near.write("/etc/hosts", f"10.1.2.3 {NAME.upper()}\n")
    before = site.near.counters()
    evidence = collect(site, NAME)
    assert site.near.counters() == before
    assert (evidence.status, answers(evidence)[NAME].source) == ("complete", "hosts")


def test_who_may_not_look_at_others_says_so_and_asks_no_forwarder_that_it_cannot_follow(site: Lab) -> None:
    site.near.write("/etc/resolv.conf", "nameserver 127.0.0.1\n")
    unbound(site.near, f'forward-zone: name: "." forward-addr: {GOOGLE}')
    before = site.near.counters()
    evidence = collect(site, NAME, user=NOBODY)
    assert site.near.counters() == before
    assert evidence.status == "partial"
    assert "may not see the namespaces of a process" in evidence.reason
    assert resolvers(evidence) == {("127.0.0.1", "loopback", None), (None, "unknown", "127.0.0.1")}
