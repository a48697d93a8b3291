"""Every way to write a destination that we know of, and what must not be taken for one."""

from __future__ import annotations

import pytest

from airgap_check.objectos.endpoint import is_malformed, parse


def _read(text: str, port: int | None = None) -> list[str]:
    """Write endpoints as ``host:port``, with the scope where it is not the usual one."""
    return [
        f"{end.name or end.address}:{end.port or '-'}" + ("" if end.scope in {"unknown", "public"} else f" {end.scope}")
        for end in parse(text, port=port)
    ]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("postgres://u:p@h1:1,h2:2/db", "h1:1 h2:2"),
        ("postgresql://u:p%40x@DB.Bank.example./db", "db.bank.example:5432"),
        ("postgres://u:p@ss@h/db", "h:5432"),
        ("postgres://u:p#w@h/db", "h:5432"),
        ("postgres:///db?host=a,b&port=1,2", "a:1 b:2"),
        ("postgres:///db?host=a,b&port=9", "a:9 b:9"),
        ("host=a,b port=1,2 dbname=x", "a:1 b:2"),
        ("host = 'a' password='x y' user=h", "a:-"),
        ("mysql://h/db", "h:3306"),
        ("mariadb://h:3307/db", "h:3307"),
        ("mysql://address=(host=h)(port=3307)/db", "h:3307"),
        ("u:p@tcp(h:3307)/d", "h:3307"),
        ("u:p@tcp([2001:db8::1])/d", "2001:db8::1:3306 documentation"),
        ("mongodb+srv://u:p@Cluster.example/db", "cluster.example:-"),
        ("mongodb://u:p@a:1,b,c:3/db?replicaSet=x", "a:1 b:27017 c:3"),
        ("redis://:pw@h/0", "h:6379"),
        ("redis+sentinel://h1:1,h2/mymaster", "h1:1 h2:26379"),
        ("redis://h1:1,redis://h2:2", "h1:1 h2:2"),
        ("h1:6379,h2:6380,password=x,ssl=True", "h1:6379 h2:6380"),
        ("libsql://x.turso.io", "x.turso.io:443"),
        ("smtp://u:p/w@h", "h:587"),
        ("smtps://h", "h:465"),
        ("s3://bucket?endpoint=https://minio.example:9000", "minio.example:9000"),
        ("https://h.example/x?y=a@b", "h.example:443"),
        ("http://h:80/@scope/x", "h:80"),
        ("amqp://u:p@h1,amqp://u:p@h2", "h1:5672 h2:5672"),
        ("PLAINTEXT://h1:9093,SASL_SSL://h2", "h1:9093 h2:9092"),
        ("host", "host:-"),
        ("h1:99, h2", "h1:99 h2:-"),
        ("[2001:db8::1]:443", "2001:db8::1:443 documentation"),
        ("2001:db8::1", "2001:db8::1:- documentation"),
        ("jdbc:postgresql://h:1/db?user=u", "h:1"),
        ("jdbc:mysql:replication://a,b:2/x", "a:3306 b:2"),
        ("jdbc:oracle:thin:scott/tiger@h:1522:sid", "h:1522"),
        ("jdbc:oracle:thin:@//h:1522/s", "h:1522"),
        ("jdbc:oracle:thin:@(DESCRIPTION=(ADDRESS=(PROTOCOL=TCP)(HOST=h)(PORT=1522)))", "h:1522"),
        ("jdbc:sqlserver://h\\inst:1434;databaseName=x", "h:1434"),
        ("jdbc:sqlserver://;serverName=h;portNumber=99", "h:99"),
        ("Server=tcp:h,1434;Database=x;User Id=a;Password=b c", "h:1434"),
        ("Data Source=h\\inst;Initial Catalog=x", "h:-"),
        ("Host=h1,h2;Port=5433;Username=x", "h1:5433 h2:5433"),
        ("Endpoint=sb://ns.example/;SharedAccessKey=x", "ns.example:5671"),
        ("pgsql:host=h;port=99;dbname=x", "h:99"),
        ("postgres+asyncpg://h/x", "h:5432"),
        ("git+https://h/x", "h:443"),
        ("git@h.example:org/repo.git", "h.example:22"),
        ("db.example/app", "db.example:-"),
        ("bücher.example", "bücher.example:-"),
        ('"https://h"', "h:443"),
        ("sentry://token/x@s.example/1", "s.example:-"),
        ("sentry://token://x@s.example/1", "s.example:-"),
        ("https://to;ken:@s.example/1", "s.example:443"),
        ("http://proxy:3128 -U u:token x", "proxy:3128"),
        ("db.x --password token", "db.x:-"),
        ("db.x:5432:app:u:to;ken@x", "db.x:5432"),
        ("u:to;ken@db.x:5432/app", "db.x:5432"),
        ("pgsql:host=h;port=1;password=a://token", "h:1"),
        ("ht\ntps://h\t/", "h:443"),
    ],
)  # fmt: skip
def test_hosts_and_ports_are_read(text: str, ends: str) -> None:
    assert " ".join(_read(text)) == ends


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://134744072/", "8.8.8.8"),
        ("http://0x08080808/", "8.8.8.8"),
        ("http://0x8.0x8.0x8.0x8/", "8.8.8.8"),
        ("http://010.8.8.8", "8.8.8.8"),
        ("http://8.8", "8.0.0.8"),
        ("http://8.8.2056", "8.8.8.8"),
        ("http:8.8.8.8", "8.8.8.8"),
        ("http:/8.8.8.8/x", "8.8.8.8"),
        ("http:////8.8.8.8", "8.8.8.8"),
        ("http://8.8.8.8./", "8.8.8.8"),
        ("http://\N{FULLWIDTH DIGIT EIGHT}.8.8.8/", "8.8.8.8"),
        ("http://8\N{IDEOGRAPHIC FULL STOP}8.8.8/", "8.8.8.8"),
        ("http://8.8.8.8\\@10.0.0.1/", "8.8.8.8"),
        ("http://u@[::ffff:8.8.8.8]:80/", "8.8.8.8"),
        ("http://%38.8.8.8/", "8.8.8.8"),
        ("8.8.8.8", "8.8.8.8"),
    ],
)
def test_an_address_is_read_as_the_application_would_dial_it(text: str, address: str) -> None:
    (end,) = parse(text)
    assert (end.address, end.scope) == (address, "public")


@pytest.mark.parametrize("text", ["localhost:5432", "http://app.localhost:5432/", "http://LOCALHOST.:5432"])
def test_localhost_is_loopback(text: str) -> None:
    (end,) = parse(text)
    assert (end.scope, end.port) == ("loopback", 5432)


@pytest.mark.parametrize(
    "text",
    [
        "", "  ", "postgres:///db?host=/var/run/postgresql", "postgres://%2Fvar%2Frun/db", "host=/tmp dbname=x",
        "dbname=x",
        "u:p@unix(/tmp/x)/d", "file:/x/y.db", "file:///x/y.db", "file:./x.db", "memory://", ":memory:", "sqlite:///x.db",
        "jdbc:sqlite:/x/y", "jdbc:h2:mem:x", "s3://bucket/key", "unix:///run/x", "http+unix://%2Frun%2Fx/v1",
        "Server=(local);Database=x", "dist/objectstack.json", "/srv/x.json", "./x.json", "dev.db",
    ],
)  # fmt: skip
def test_local_places_are_no_endpoints(text: str) -> None:
    assert not parse(text)
    assert not is_malformed(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://h:99999/", "http://h:0/", "http://h:x/", "http://[::1", "${HOST}:5432", "https://{token}.example/",
        "1.2.3.4.5",
        "http://256.1.1.1/", "http://1.2.3.4.5/", "http://a..b/", "https://h:${PORT}/",
    ],
)  # fmt: skip
def test_templates_and_malformed_texts_are_no_endpoints_but_known_as_such(text: str) -> None:
    assert not parse(text)
    assert is_malformed(text)


@pytest.mark.parametrize(
    "text",
    [
        "Bearer token1", "Basic token1", "Bearer a://token1", "pass token1", "--password token1", "token: token1",
        "ghp_0123456789abcdef0123", "-token1", "token1-",
    ],
)  # fmt: skip
def test_a_secret_is_never_taken_for_a_host(text: str) -> None:
    assert not parse(text)
    assert is_malformed(text)


def test_the_port_of_the_caller_stands_in_for_a_missing_one() -> None:
    assert _read("mail.example", 587) == ["mail.example:587"]
    assert _read("mail.example:25", 587) == ["mail.example:25"]
    assert _read("smtps://mail.example", 587) == ["mail.example:465"]


def test_an_endpoint_is_stated_once() -> None:
    assert _read("h:1,h:1,h:2") == ["h:1", "h:2"]
