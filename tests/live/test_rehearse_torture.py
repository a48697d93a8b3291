"""A program that reaches for everything, rehearsed: all of it is told, none of it gets out, nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
import time
from collections import Counter
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.live.lab import NOBODY
from tests.live.lab_host import PATIENCE, PYTHON, LabError
from tests.live.sealed import TORTURE, Remains, Sealed, deeds
from tests.live.torture import DOMAIN, MARK, SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.rehearsed import Rehearsal

pytestmark = pytest.mark.live

_PID = re.compile(r"\[\d+\]")
NAMES, CONNECTIONS = 1000, 10_000
USERS = {"root": None, "nobody": NOBODY}
POLICY = {
    "version": 1,
    "allow": [{"name": "name server", "role": "dns", "cidr": ["10.20.0.53/32"], "ports": [53], "protocol": "any"}],
    "runtime": {"expected": False},
}
# What the kernel forbids to the command, as container engines do; it is said, so nothing is missing.
FORBIDDEN = {"io_uring": 38}
PACKETS = {"packet_raw", "packet_dgram"}  # no call says where they go; the wire does


class Run(NamedTuple):
    """A rehearsal, what left the host meanwhile, and what there was before and after."""

    audit: Rehearsal
    escaped: list[tuple[int, bytes]]
    before: Remains
    after: Remains


def torture(sealed: Sealed, *arguments: object, options: tuple[str, ...] = ("--for", "5m")) -> Run:
    sealed.lab.near.write("/etc/airgap-check/policy.yaml", json.dumps(POLICY))
    before = sealed.remains()
    sealed.uplink.frames()
    audit = sealed.rehearse(*options, command=(PYTHON, "-I", str(TORTURE), *map(str, arguments)))
    return Run(audit, sealed.uplink.frames(), before, sealed.settles_to(before))


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    """One rehearsal as root, one as an ordinary user."""
    made = {}
    for name, user in USERS.items():
        with Sealed(user) as sealed:
            made[name] = torture(sealed, "--names", NAMES, "--connections", CONNECTIONS, "--late", 1)
    return made


@pytest.fixture(params=USERS)
def run(runs: dict[str, Run], request: pytest.FixtureRequest) -> Run:
    return runs[request.param]


def attempts(audit: Rehearsal) -> Counter[tuple[str, str | None, int | None]]:
    """Count the attempts that were seen as such, by protocol, name or address, and port."""
    counts: Counter[tuple[str, str | None, int | None]] = Counter()
    for connection in audit.report["connections"]:
        record = connection["record"]
        if record["seen"] == "attempts":
            remote = record["remote"]
            counts[record["protocol"], remote["name"] or remote["address"], remote["port"]] += record["count"]
    return counts


def done(audit: Rehearsal) -> list[dict[str, Any]]:
    """Return what the program did that the kernel let it do."""
    told = deeds(audit)
    assert len({deed["kind"] for deed in told}) > 40, audit.summary()
    refused = {deed["kind"]: deed["refused"] for deed in told if "refused" in deed}
    assert refused == FORBIDDEN, refused
    return [deed for deed in told if deed["kind"] not in FORBIDDEN]


def test_every_attempt_is_counted_exactly(run: Run) -> None:
    counts = attempts(run.audit)
    missing = {}
    for deed in done(run.audit):
        if deed["kind"] in PACKETS or deed["protocol"] == "name":
            continue
        seen = counts[deed["protocol"], deed["target"], deed["port"]]
        if seen != deed["count"]:
            missing[deed["kind"], deed["target"]] = (deed["count"], seen)
    assert not missing, f"{len(missing)}: {dict(list(missing.items())[:30])}\n{run.audit.summary()[-3000:]}"


def test_packets_that_no_call_tells_of_are_met_and_who_may_make_them_is_named(run: Run) -> None:
    packets = [deed for deed in done(run.audit) if deed["kind"] in PACKETS]
    assert len(packets) == len(PACKETS)
    assert {deed["target"] for deed in packets} <= {entry["remote"]["address"] for entry in run.audit.reached}
    opened = [one["record"] for one in run.audit.report["connections"] if one["record"]["protocol"] == "packet"]
    assert {record["process"]["name"] for record in opened} == {os.path.basename(PYTHON)}


def test_every_destination_that_speaks_ip_is_told_as_reached(run: Run) -> None:
    reached = {(entry["protocol"], entry["remote"]["name"] or entry["remote"]["address"], entry["remote"]["port"])
               for entry in run.audit.reached}  # fmt: skip
    silent = {"udp_connect_only", *PACKETS}
    wanted = {
        (deed["protocol"], deed["target"], deed["port"])
        for deed in done(run.audit)
        if deed["protocol"] in {"tcp", "udp"} and deed["kind"] not in silent
    }
    assert wanted <= reached, sorted(wanted - reached, key=str)[:20]


def test_what_was_said_is_told_by_every_protocol(run: Run) -> None:
    text = json.dumps(run.audit.reached)
    for deed in done(run.audit):
        if "said" in deed:
            assert deed["said"] in text, deed
    spoken = {entry["remote"]["name"] or entry["remote"]["address"]: entry["spoken"] for entry in run.audit.reached}
    assert spoken["203.0.113.201"] == ["dns"]
    assert spoken["203.0.113.202"] == ["dns"]
    assert spoken[f"dot.{DOMAIN}"] == ["dns"]
    assert spoken[f"quic.{DOMAIN}"] == ["quic"]
    assert run.audit.to(f"web.{DOMAIN}:443")["encrypted"] is True


def test_ten_thousand_connections_are_ten_thousand_encounters(run: Run) -> None:
    assert run.audit.to(f"many.{DOMAIN}:8080")["count"] == CONNECTIONS


def test_a_name_that_was_only_asked_for_is_told(run: Run) -> None:
    assert f"asked-only.{DOMAIN}" in run.audit.names()


def test_a_daemon_whose_parents_have_gone_is_named(run: Run) -> None:
    kinds = {deed["kind"]: deed for deed in done(run.audit)}
    for kind in ("daemon", "late_daemon"):
        place = f"{kinds[kind]['target']}:{kinds[kind]['port']}"
        assert run.audit.to(place)["who"], place


def test_the_evidence_is_whole_and_the_exit_code_says_what_was_found(run: Run) -> None:
    for collector in ("attempts", "traffic", "world"):
        coverage = run.audit.coverage(collector)
        assert coverage["status"] == "complete", coverage
        assert coverage["lost"] == 0, coverage
    assert run.audit.exit_code == 1, run.audit.summary()
    assert SECRET not in run.audit.stdout


def test_root_and_an_ordinary_user_get_the_same_findings(runs: dict[str, Run]) -> None:
    found = {
        name: {
            (result["rule"], finding["message"], _PID.sub("[pid]", finding["subject"]), finding["fingerprint"])
            for result in run.audit.report["results"]
            for finding in result["findings"]
        }
        for name, run in runs.items()
    }
    assert found["root"]
    assert found["root"] == found["nobody"]


def test_nothing_leaves_by_the_uplink(run: Run) -> None:
    assert run.escaped == []


def test_nothing_is_left_behind(run: Run) -> None:
    assert run.after == run.before


@pytest.mark.parametrize("world", ["nxdomain", "drop", "reject"])
def test_a_world_without_answers_sees_every_attempt(world: str) -> None:
    with Sealed(None) as sealed:
        run = torture(sealed, "--mute", options=("--for", "2m", "--world", world))
    counts = attempts(run.audit)
    wanted = {
        (deed["protocol"], deed["target"], deed["port"]): deed["count"]
        for deed in deeds(run.audit)
        if deed["kind"] not in PACKETS | set(FORBIDDEN)
    }
    assert len(wanted) > 20
    assert {key: counts[key] for key in wanted} == wanted
    assert run.escaped == []
    assert run.after == run.before


@pytest.fixture(params=USERS)
def sealed(request: pytest.FixtureRequest) -> Iterator[Sealed]:
    with Sealed(USERS[request.param]) as made:
        yield made


def _hear(errors: IO[bytes], word: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        errors.seek(0)
        text = errors.read().decode(errors="replace")
        if word in text:
            return
        if time.monotonic() > deadline:
            raise LabError(f"never said {word!r}: {text[-2000:]}")
        time.sleep(0.05)


def _amidst(sealed: Sealed, errors: IO[bytes]) -> int:
    """Begin to rehearse, and return the tool's pid once the program has a daemon and sleeps."""
    arguments = ["--names", "5", "--connections", "20", "--late", "600", "--linger", "600"]
    command = (PYTHON, "-I", str(TORTURE), *arguments)
    pid = sealed.begin("--for", "10m", command=command, errors=errors)
    _hear(errors, f'{MARK}{{"kind": "late_daemon"')
    return pid


def test_a_tool_that_is_killed_takes_everything_with_it(sealed: Sealed) -> None:
    before = sealed.remains()
    with tempfile.TemporaryFile() as errors:
        pid = _amidst(sealed, errors)
        assert len(sealed.tree(pid)) > 4
        sealed.lab.near.ask({"signal": signal.SIGKILL, "pid": pid})
        assert sealed.lab.near.exit_code(pid) == -signal.SIGKILL
        assert sealed.settles_to(before) == before


def test_a_tool_whose_keeper_is_killed_ends_and_everything_with_it(sealed: Sealed) -> None:
    before = sealed.remains()
    with tempfile.TemporaryFile() as errors:
        pid = _amidst(sealed, errors)
        sealed.lab.near.ask({"signal": signal.SIGKILL, "pid": sealed.tree(pid)[0]})
        assert sealed.lab.near.exit_code(pid) in {3, 4}
        assert sealed.settles_to(before) == before


@pytest.mark.parametrize("victim", [1, 2, 3])
def test_whichever_of_its_processes_is_killed_everything_goes_at_the_end(sealed: Sealed, victim: int) -> None:
    before = sealed.remains()
    with tempfile.TemporaryFile() as errors:
        pid = _amidst(sealed, errors)
        sealed.lab.near.ask({"signal": signal.SIGKILL, "pid": sealed.tree(pid)[victim]})
        sealed.lab.near.ask({"signal": signal.SIGTERM, "pid": pid})
        assert sealed.lab.near.exit_code(pid) in {1, 3, 4}  # never 0: it has not seen all
        assert sealed.settles_to(before) == before


def test_a_rehearsal_that_is_told_to_end_reports_what_it_has_seen(sealed: Sealed) -> None:
    before = sealed.remains()
    with tempfile.TemporaryFile() as errors:
        pid = _amidst(sealed, errors)
        sealed.lab.near.ask({"signal": signal.SIGTERM, "pid": pid})
        assert sealed.lab.near.exit_code(pid) == 1
        assert sealed.settles_to(before) == before
