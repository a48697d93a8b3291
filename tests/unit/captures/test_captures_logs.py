"""Logs of Zeek, Suricata and conntrack become the same records as packets; lines that make no sense are counted."""

# ruff: noqa: E501  # lines of logs are as long as they are

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from airgap_check.captures.reading import Reading
from airgap_check.errors import InvalidFileError
from airgap_check.evidence import Answer, Connection, Evidence, Question, Request

if TYPE_CHECKING:
    from pathlib import Path

CONN = """\
#separator \\x09
#set_separator\t,
#empty_field\t(empty)
#unset_field\t-
#path\tconn
#open\t2026-11-20-12-00-00
#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\tconn_state
#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\tstring
1795176000.000000\tC1\t10.0.0.2\t40000\t10.20.0.5\t5432\ttcp\t-\t1.500000\tSF
1795176001.000000\tC2\t10.0.0.2\t40001\t10.20.0.5\t5432\ttcp\t-\t-\tS0
1795176002.000000\tC3\t10.0.0.2\t40002\t8.8.8.8\t53\tudp\tdns\t-\tS0
1795176003.000000\tC4\tfd00::2\t8\tfd00::9\t0\ticmp\t-\t-\tOTH
1795176004.000000\tC5\t10.0.0.2\t50000\t10.0.0.9\t50001\ttcp\t-\t-\tOTH
#close\t2026-11-20-13-00-00
"""
DNS = """\
#separator \\x09
#path\tdns
#fields\tts\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tquery\tqtype_name\trcode_name\tanswers\tTTLs
1795176000.0\t10.0.0.2\t40000\t10.0.0.53\t53\tudp\tDB.bank.example\tA\tNOERROR\tdb1.bank.example,10.20.0.5\t60.000000,30.000000
1795176001.0\t10.0.0.2\t40001\t10.0.0.53\t53\tudp\tnowhere.example\tAAAA\tNXDOMAIN\t-\t-
1795176002.0\t10.0.0.2\t40002\t10.0.0.53\t53\tudp\tlost.example\tA\t-\t-\t-
"""


def read(folder: Path, *texts: str | bytes) -> Evidence:
    paths = []
    for number, text in enumerate(texts):
        path = folder / f"log{number}"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        paths.append(str(path))
    return Reading(lambda _: None, None).evidence(paths)


def flows(evidence: Evidence) -> set[tuple[str, str, str | None, str | None, int | None, str, int]]:
    return {
        (
            flow.direction,
            flow.protocol,
            flow.local.address,
            flow.remote.address,
            flow.remote.port,
            flow.state,
            flow.count,
        )
        for flow in evidence.of(Connection)
    }


def as_json(text: str) -> str:
    """Turn columns into what Zeek writes as JSON: typed, without unset fields."""
    lines = text.splitlines()
    names = next(line for line in lines if line.startswith("#fields")).split("\t")[1:]
    found = []
    for line in lines:
        if not line.startswith("#"):
            fields: dict[str, object] = {
                name: cell for name, cell in zip(names, line.split("\t"), strict=True) if cell != "-"
            }
            for name, cell in fields.items():
                if name in {"ts", "duration"}:
                    fields[name] = float(str(cell))
                elif name.endswith("_p"):
                    fields[name] = int(str(cell))
                elif name in {"answers", "TTLs"}:
                    fields[name] = [float(item) if name == "TTLs" else item for item in str(cell).split(",")]
            found.append(json.dumps(fields))
    return "\n".join(found) + "\n"


def test_zeek_tells_connections_with_their_state(tmp_path: Path) -> None:
    found = read(tmp_path, CONN)
    assert found.status == "complete"
    assert flows(found) == {
        ("outbound", "tcp", "10.0.0.2", "10.20.0.5", 5432, "SF", 2),
        ("outbound", "udp", "10.0.0.2", "8.8.8.8", 53, "S0", 1),
        ("outbound", "icmp", "fd00::2", "fd00::9", None, "OTH", 1),
        ("unknown", "tcp", "10.0.0.2", "10.0.0.9", 50001, "OTH", 1),
    }
    first = next(found.of(Connection))
    assert first.first is not None
    assert first.last is not None
    assert (first.last - first.first).total_seconds() == 1.5
    assert first.ownerless


def test_zeek_tells_names_and_what_they_were_bound_to(tmp_path: Path) -> None:
    found = read(tmp_path, DNS)
    assert [(item.name, item.type, item.status) for item in found.of(Question)] == [
        ("db.bank.example", "A", "ok"), ("nowhere.example", "AAAA", "nxdomain"), ("lost.example", "A", "asked"),
    ]  # fmt: skip
    first, second = found.of(Answer)
    assert (first.chain, [end.address for end in first.addresses], first.ttl, first.server, first.source) == (
        ("db1.bank.example",), ["10.20.0.5"], 30, "10.0.0.53", "observed",
    )  # fmt: skip
    assert (second.status, second.addresses) == ("nxdomain", ())
    assert flows(found) == {("outbound", "udp", "10.0.0.2", "10.0.0.53", 53, "captured", 1)}


@pytest.mark.parametrize("text", [CONN, DNS], ids=["conn", "dns"])
def test_zeek_in_json_says_the_same(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, as_json(text)).records == read(tmp_path, text).records


def test_connections_and_names_of_one_flow_are_counted_once(tmp_path: Path) -> None:
    dns = DNS.replace("10.0.0.53", "8.8.8.8")
    assert ("outbound", "udp", "10.0.0.2", "8.8.8.8", 53, "S0", 1) in flows(read(tmp_path, CONN, dns))


def test_zeek_tells_what_clients_said(tmp_path: Path) -> None:
    head = "#fields\tts\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\t"
    row = "1795176000.0\t10.0.0.2\t40000\t8.8.8.8\t"
    found = read(
        tmp_path,
        f"#path\tssl\n{head}server_name\n{row}443\tExample.com\n{row}443\t-\n{row}853\tx.example\n",
        f"#path\thttp\n{head}host\n{row}80\tweb.example\n",
        f"#path\tquic\n{head}server_name\n{row}443\tq.example\n",
        f"#path\tfiles\n{head}name\n{row}80\tsecret\n",
    )
    assert {(item.source, item.name, item.hidden, item.protocol) for item in found.of(Request)} == {
        ("tls", "example.com", "no", "tcp"), ("tls", None, "no", "tcp"), ("dot", "x.example", "encrypted-dns", "tcp"),
        ("http", "web.example", "no", "tcp"), ("quic", "q.example", "no", "udp"),
    }  # fmt: skip
    assert found.counts["skipped"] == 1


def test_lines_that_make_no_sense_are_counted(tmp_path: Path) -> None:
    bad = "too\tfew\n" + CONN.splitlines()[8].replace("10.0.0.2", "10.0.0.256") + "\n"
    found = read(tmp_path, (CONN + bad).encode() + b"\xff\xfe\n{]\n")
    assert (found.status, found.counts["malformed"]) == ("partial", 4)
    assert "4 of 18 lines could not be read, the first is line 15" in found.reason
    assert flows(found) == flows(read(tmp_path, CONN))


def event(
    kind: str, source: str = "10.0.0.2:40000", target: str = "10.0.0.53:53", proto: str = "UDP", **of: object
) -> str:
    (address, port), (other, other_port) = source.rsplit(":", 1), target.rsplit(":", 1)
    head = {
        "timestamp": "2026-11-20T12:00:00.000000+0000", "event_type": kind, "src_ip": address, "src_port": int(port),
        "dest_ip": other, "dest_port": int(other_port), "proto": proto,
    }  # fmt: skip
    return json.dumps({**head, **of}) + "\n"


DNS_EVENTS = {
    1: event("dns", dns={"type": "query", "id": 1, "rrname": "db.example", "rrtype": "A"})
    + event(
        "dns", "10.0.0.53:53", "10.0.0.2:40000",
        dns={"type": "answer", "rcode": "NOERROR", "rrname": "db.example", "rrtype": "A", "ttl": 60, "rdata": "10.1.1.1"},
    ),
    2: event("dns", dns={"version": 2, "type": "query", "rrname": "db.example", "rrtype": "A"})
    + event(
        "dns", dns={
            "version": 2, "type": "answer", "rcode": "NOERROR", "rrname": "db.example", "rrtype": "A",
            "answers": [{"rrname": "db.example", "rrtype": "A", "ttl": 60, "rdata": "10.1.1.1"}],
            "grouped": {"A": ["10.1.1.1"]},
        },
    ),
    3: event("dns", dns={"version": 3, "type": "request", "queries": [{"rrname": "db.example", "rrtype": "A"}]})
    + event(
        "dns", "10.0.0.53:53", "10.0.0.2:40000", dns={
            "version": 3, "type": "response", "rcode": "NOERROR", "queries": [{"rrname": "db.example", "rrtype": "A"}],
            "answers": [{"rrname": "db.example", "rrtype": "A", "ttl": 60, "rdata": "10.1.1.1"}],
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("version", DNS_EVENTS)
def test_suricata_tells_names_in_every_version(tmp_path: Path, version: int) -> None:
    found = read(tmp_path, DNS_EVENTS[version])
    (question,), (answer,) = found.of(Question), found.of(Answer)
    assert (question.name, question.status, question.server.address, question.count) == (
        "db.example",
        "ok",
        "10.0.0.53",
        1,
    )
    assert ([end.address for end in answer.addresses], answer.ttl) == (["10.1.1.1"], 60)
    assert flows(found) == {("outbound", "udp", "10.0.0.2", "10.0.0.53", 53, "captured", 1)}


def test_suricata_groups_answers_where_it_does_not_list_them(tmp_path: Path) -> None:
    dns = {"version": 2, "type": "answer", "rcode": "NOERROR", "rrname": "a.example", "rrtype": "AAAA",
           "grouped": {"CNAME": ["b.example"], "AAAA": ["fd00::1"]}}  # fmt: skip
    (answer,) = read(tmp_path, event("dns", dns=dns)).of(Answer)
    assert (answer.chain, [end.address for end in answer.addresses]) == (("b.example",), ["fd00::1"])


def test_suricata_tells_flows_and_what_clients_said(tmp_path: Path) -> None:
    start, end = "2026-11-20T11:59:00.000000+0000", "2026-11-20T11:59:30.000000+0000"
    found = read(
        tmp_path,
        event("flow", target="8.8.8.8:443", proto="TCP", flow={"start": start, "end": end, "state": "closed"}, tcp={"syn": True})
        + event("flow", "10.0.0.2:50000", "10.0.0.3:50001", "TCP", flow={"state": "new"}, tcp={"ack": True})
        + event("tls", target="8.8.8.8:443", proto="TCP", tls={"sni": "Example.com"})
        + event("quic", target="8.8.8.8:443", quic={"sni": "q.example"})
        + event("http", target="10.0.0.80:80", proto="TCP", http={"hostname": "web.example", "url": "/secret?token=1"})
        + event("alert", alert={"signature": "x"})
        + event("flow", "fd00::2:0", "fd00::3:0", "IPv6-ICMP", flow={}),
    )  # fmt: skip
    assert found.status == "complete"
    assert flows(found) == {
        ("outbound", "tcp", "10.0.0.2", "8.8.8.8", 443, "closed", 1),
        ("unknown", "tcp", "10.0.0.2", "10.0.0.3", 50001, "new", 1),
        ("outbound", "udp", "10.0.0.2", "8.8.8.8", 443, "captured", 1),
        ("outbound", "tcp", "10.0.0.2", "10.0.0.80", 80, "captured", 1),
        ("outbound", "icmp", "fd00::2", "fd00::3", None, "captured", 1),
    }
    assert {(item.source, item.name) for item in found.of(Request)} == {
        ("tls", "example.com"), ("quic", "q.example"), ("http", "web.example"),
    }  # fmt: skip
    assert "secret" not in repr(found)
    assert found.counts["skipped"] == 1


def test_events_of_a_wrong_shape_are_counted(tmp_path: Path) -> None:
    bad = [
        event("dns", dns=[]), event("dns", dns={"type": "query"}), event("flow", source="x:1"), '{"event_type": "flow"}\n',
        event("flow", flow={"start": "T"}), event("tls", proto="GRE"), "[1]\n", '{"event_type":\n',
        event("dns", dns={"type": "answer", "rrname": "a", "rrtype": "A", "answers": {}}), "[" * 5000 + "\n",
    ]  # fmt: skip
    found = read(tmp_path, event("flow", flow={}) + "".join(bad))
    assert (found.status, found.counts["malformed"]) == ("partial", len(bad))


LINES = {
    "list": "tcp      6 431999 ESTABLISHED src=10.0.0.2 dst=8.8.8.8 sport=40000 dport=443 src=8.8.8.8 dst=10.0.0.2 sport=443 "
    "dport=40000 [ASSURED] mark=0 use=1",
    "extended": "ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.0.2 dst=8.8.8.8 sport=40000 dport=443 packets=1 bytes=60 "
    "src=8.8.8.8 dst=10.0.0.2 sport=443 dport=40000 [ASSURED] mark=0 zone=0 use=2",
    "event": "    [NEW] tcp      6 120 ESTABLISHED src=10.0.0.2 dst=8.8.8.8 sport=40000 dport=443 [UNREPLIED] src=8.8.8.8 "
    "dst=10.0.0.2 sport=443 dport=40000",
    "stamped": "[1795176000.123456]\t    [NEW] ipv4     2 tcp      6 120 ESTABLISHED src=10.0.0.2 dst=8.8.8.8 sport=40000 "
    "dport=443 [UNREPLIED] src=8.8.8.8 dst=10.0.0.2 sport=443 dport=40000 id=77",
}  # fmt: skip


@pytest.mark.parametrize("form", LINES)
def test_conntrack_is_read_in_every_form(tmp_path: Path, form: str) -> None:
    found = read(tmp_path, LINES[form] + "\n")
    assert found.status == "complete"
    assert flows(found) == {("outbound", "tcp", "10.0.0.2", "8.8.8.8", 443, "ESTABLISHED", 1)}
    (connection,) = found.of(Connection)
    assert (connection.first is not None) == (form == "stamped")


def test_conntrack_counts_a_flow_when_it_begins(tmp_path: Path) -> None:
    new = LINES["event"]
    update = new.replace("[NEW]", "[UPDATE]").replace("[UNREPLIED] ", "")
    destroy = "[DESTROY] tcp      6 src=10.0.0.2 dst=8.8.8.8 sport=40000 dport=443 src=8.8.8.8 dst=10.0.0.2 sport=443 dport=40000"
    found = read(
        tmp_path, f"{new}\n{update}\n {destroy}\nconntrack v1.4.7 (conntrack-tools): 3 flow events have been shown.\n"
    )
    assert flows(found) == {("outbound", "tcp", "10.0.0.2", "8.8.8.8", 443, "ESTABLISHED", 1)}


def test_conntrack_tells_other_protocols_and_whom_translation_leads_to(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "udp      17 29 src=fd00::2 dst=fd00::53 sport=40000 dport=53 [UNREPLIED] src=fd00::53 dst=fd00::2 sport=53 dport=40000 mark=0 use=1\n"
        "icmp     1 29 src=10.0.0.2 dst=10.0.0.9 type=8 code=0 id=5 src=10.0.0.9 dst=10.0.0.2 type=0 code=0 id=5 mark=0 use=1\n"
        "unknown  2 500 src=10.0.0.2 dst=224.0.0.22 [UNREPLIED] src=224.0.0.22 dst=10.0.0.2 use=1\n"
        "tcp      6 100 SYN_SENT src=10.0.0.2 dst=10.0.0.1 sport=40000 dport=80 src=8.8.8.8 dst=10.0.0.2 sport=8080 dport=40000 use=1\n",
    )
    assert found.status == "complete"
    assert flows(found) == {
        ("outbound", "udp", "fd00::2", "fd00::53", 53, "UNREPLIED", 1),
        ("outbound", "icmp", "10.0.0.2", "10.0.0.9", None, "captured", 1),
        ("outbound", "raw", "10.0.0.2", "224.0.0.22", None, "proto 2", 1),
        ("outbound", "tcp", "10.0.0.2", "10.0.0.1", 80, "SYN_SENT", 1),
        ("outbound", "tcp", "10.0.0.2", "8.8.8.8", 8080, "SYN_SENT", 1),
    }


def test_conntrack_lines_that_make_no_sense_are_counted(tmp_path: Path) -> None:
    good = LINES["list"]
    bad = [good.replace("src=10.0.0.2", "src=x"), good.replace("dport=443", "dport=99999"), "tcp 7 9 src=1.1.1.1 dst=2.2.2.2",
           "what is this", good.replace("dst=8.8.8.8 ", "", 1)]  # fmt: skip
    found = read(tmp_path, "\n".join([good, *bad]))
    assert (found.status, found.counts["malformed"]) == ("partial", len(bad))


def test_what_a_terminal_would_obey_is_gone(tmp_path: Path) -> None:
    found = read(tmp_path, event("tls", proto="TCP", tls={"sni": "a\x1b[31mb\n.example"}))
    (request,) = found.of(Request)
    assert request.name == "ab .example"


def test_a_log_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match="not a file that can be judged"):
        read(tmp_path, "\n\n\n")
    assert read(tmp_path, CONN.partition("1795176000")[0]).status == "partial"
