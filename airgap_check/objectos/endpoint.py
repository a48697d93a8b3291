"""Reads hosts and ports out of what people write into settings: URLs, DSNs, host lists; and whether it means "off".

A host is read the way the application's own libraries would dial it: ``http://0x08080808/`` goes to 8.8.8.8.
Sources: RFC 3986, the WHATWG URL standard (special schemes, IPv4 numbers), PostgreSQL's libpq (33.1.1), JDBC, ADO.NET.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv4Address
from typing import TYPE_CHECKING
from urllib.parse import unquote

from airgap_check.address import parse as parse_address
from airgap_check.evidence.fact import Endpoint, endpoint
from airgap_check.objectos import keyword_string
from airgap_check.redact.strings import looks_like_token

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PORT_TEXTS = """
    postgres 5432 postgresql 5432 pg 5432 cockroachdb 26257 mysql 3306 mysqlx 33060 mariadb 3306 sqlserver 1433
    mssql 1433 oracle 1521 db2 50000 mongodb 27017 redis 6379 rediss 6379 valkey 6379 sentinel 26379 redis-sentinel
    26379 memcached 11211 libsql 443 clickhouse 8123 cassandra 9042 neo4j 7687 bolt 7687 couchdb 5984 http 80 https
    443 ws 80 wss 443 ftp 21 ftps 990 sftp 22 ssh 22 git 9418 smtp 587 smtps 465 submission 587 imap 143 imaps 993
    pop3 110 pop3s 995 amqp 5672 amqps 5671 kafka 9092 plaintext 9092 ssl 9092 sasl_ssl 9092 sasl_plaintext 9092
    nats 4222 mqtt 1883 mqtts 8883 ldap 389 ldaps 636 socks 1080 socks4 1080 socks4a 1080 socks5 1080 socks5h 1080
    etcd 2379 zookeeper 2181 zk 2181 sb 5671 grpc 443 grpcs 443 syslog 514 statsd 8125 dns 53
"""
_PORTS = {name: int(port) for name, port in re.findall(r"(\S+)\s+(\d+)", _PORT_TEXTS)}
# A place on this machine, or none at all: a bucket has a region, an account and no host.
_PLACELESS_SCHEMES = """
    file memory mem sqlite sqlite3 duckdb h2 derby hsqldb unix http+unix unixgram data blob about mailto urn stdio node
    npm workspace s3 s3a s3n gs gcs az azure arn pipe fd systemd docker-image oci-layout dir
"""
_PLACELESS = frozenset(_PLACELESS_SCHEMES.split())
_WEB = frozenset({"http", "https", "ws", "wss", "ftp"})
_HOST_PARAMETERS = frozenset({"host", "hostaddr", "server", "servername", "endpoint", "endpoint_url", "syncurl"})
_FILES = (".db", ".sqlite", ".sqlite3", ".json", ".sock", ".mjs", ".js")
_SCHEME = re.compile(r"((?:r2dbc:|jdbc:)?[A-Za-z][A-Za-z0-9+._-]{0,40}):")
_NEXT_URL = re.compile(r"(?<![,;\s|])[,;\s|]++(?=(?:jdbc:)?[A-Za-z][A-Za-z0-9+._-]{0,40}://)")
_LABEL = re.compile(r"\w(?:[\w-]{0,61}\w)?\Z")
_ANNOUNCED = re.compile(
    r"(?:\A|[\s,;])-{0,2}(?:pass|password|passwd|pwd|bearer|basic|token|secret)(?:[\s=]|:(?!//))", re.IGNORECASE
)
_PGPASS = re.compile(r"(?![0-9A-Fa-f:.]++(?:[\s/%,]|\Z))([\w.-]{1,255}+:\d{1,5}+):[^:]{0,64}+:[^:]{1,64}+:")


def parse(text: str, *, port: int | None = None) -> tuple[Endpoint, ...]:
    """Return the endpoints that a setting names, in order and each once; none for local places and malformed text.

    ``port`` is what the application would use when neither the text nor its scheme says.
    """
    bare = _plain_part(_bare(text))
    if keyword_string.is_one(bare):
        found = [end for host, at in keyword_string.hosts(bare) for end in _nested(host, at or port)]
    elif "://" in bare and not _is_prefixed(bare):
        found = [end for piece in _NEXT_URL.split(bare) for end in _url(piece, port)]
    else:
        found = list(_without_slashes(bare, port))
    return tuple(dict.fromkeys(found))


def _bare(text: str) -> str:
    """Drop tabs and line breaks wherever they are, as URL parsers do, blanks at the ends, and one pair of quotes."""
    bare = text.translate({9: None, 10: None, 13: None}).strip()
    if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'`":
        return bare[1:-1].strip()
    return bare


def _plain_part(text: str) -> str:
    """Cut off what is announced as a secret: it may look like a host. A line of .pgpass is one host and secrets."""
    line = _PGPASS.match(text)
    if line:
        return line[1]
    announced = _ANNOUNCED.search(text)
    scheme = text.find("://")
    if announced and (scheme < 0 or announced.start() < scheme) and not keyword_string.is_one(text):
        return text[: announced.start()]
    return text


def _is_prefixed(text: str) -> bool:
    """Tell whether this is PHP's ``pgsql:host=a;port=1``."""
    scheme = _SCHEME.match(text)
    return scheme is not None and keyword_string.is_one(text[scheme.end() :])


def is_malformed(text: str) -> bool:
    """Tell whether a text is neither an endpoint nor a place on this machine: a template, a port that is none."""
    bare = _bare(text)
    scheme = _SCHEME.match(bare)
    if not bare or parse(bare) or keyword_string.is_one(bare) or (scheme and _family(scheme[1]) in _PLACELESS):
        return False
    if "://" not in bare:
        return (
            not bare.startswith(("/", "./", "../", "~", ":")) and not bare.lower().endswith(_FILES) and "/" not in bare
        )
    host = re.split(r"[/?#]", bare.partition("://")[2], maxsplit=1)[0].rpartition("@")[2].lower()
    return bool(host) and not host.startswith("%2f")


def _nested(host: str, port: int | None) -> Iterable[Endpoint]:
    """Read what a keyword or parameter says: a host, or again a URL."""
    return _url(host, port) if "://" in host else _host_list(host, port)


# --- URLs ------------------------------------------------------------------------------------------------------------


def _url(text: str, port: int | None) -> Iterator[Endpoint]:
    scheme, slashes, rest = text.partition("://")
    if not slashes:
        yield from _host_list(text, port)
        return
    if not scheme[-1:].isalnum():
        return
    family = _family(scheme)
    if family in _PLACELESS:
        yield from _parameters(rest, port)
        return
    port = _PORTS.get(family, port)
    if family in _WEB:
        rest = rest.lstrip("/\\")
    ends = r"[/\\?#]" if family in _WEB else r"[/?#;]" if scheme.lower().startswith("jdbc:") else r"[/?#]"
    authority = re.split(ends, rest, maxsplit=1)[0]
    bare_token = family not in _PORTS and not re.search(r"[.:@]", authority.rstrip(":"))
    if (not _is_authority(authority) or bare_token) and "@" in rest:  # a raw / ? or # in the password
        authority = re.split(ends, rest.rpartition("@")[2], maxsplit=1)[0]
    authority = re.split(r"(?<![,;])\s", re.split(r"\s-", authority, maxsplit=1)[0].rpartition("@")[2], maxsplit=1)[0]
    if family in {"sqlserver", "mssql"}:  # host\instance:port
        authority = re.sub(r"\\[^:,]*", "", authority)
    if scheme.lower() == "mongodb+srv":  # the port comes with the SRV record
        yield from (_without_port(end) for end in _host_list(authority, None))
    else:
        yield from _host_list(authority, port)
    yield from _parameters(rest, port)


def _family(scheme: str) -> str:
    """Return the scheme that decides the port: ``jdbc:mysql:replication`` is mysql, ``git+https`` is https."""
    name = scheme.lower().rpartition(" ")[2]
    while name.startswith(("jdbc:", "r2dbc:")):
        name = name.partition(":")[2]
    name = name.partition(":")[0] if name.partition(":")[0] in _PORTS else name.rpartition(":")[2]
    if name in _PLACELESS or name in _PORTS:
        return name
    before, _, after = name.partition("+")
    return next((part for part in (after, before) if part in _PORTS or part in _PLACELESS), name)


def _is_authority(text: str) -> bool:
    """Tell whether this is ``[user@]host[:port][,...]`` with ports that are numbers."""
    hosts = text.rpartition("@")[2]
    return all(_split_port(host) is not None for host in hosts.split(","))


def _parameters(rest: str, port: int | None) -> Iterator[Endpoint]:
    """Read hosts out of the query: libpq and MySQL take ``?host=``, S3 libraries ``?endpoint=``, JDBC ``;server=``."""
    query = re.split(r"[?;]", rest, maxsplit=1)[1:]
    pairs = keyword_string.pairs_of_query(query[0]) if query else []
    ports = next((value for name, value in pairs if name in {"port", "portnumber"}), "")
    for name, value in pairs:
        if name in _HOST_PARAMETERS:
            for host, at in keyword_string.with_ports(value, ports):
                yield from _nested(host, at or port)


def _without_port(end: Endpoint) -> Endpoint:
    return Endpoint(name=end.name, address=end.address, inner=end.inner, wrapped=end.wrapped, scope=end.scope)


# --- no slashes ------------------------------------------------------------------------------------------------------


def _without_slashes(text: str, port: int | None) -> Iterator[Endpoint]:
    """Read ``scheme:rest``, Go's ``user:password@tcp(host:port)/db``, ``user@host:path`` and lists of hosts."""
    if text.startswith(("/", "./", "../", "~", "\\", ":")) and not text.startswith("::"):
        return
    dialled = re.search(r"\b(tcp[46]?|udp[46]?|unix)\(([^()]*)\)", text)
    if dialled:
        if dialled[1] != "unix":
            yield from _host_list(dialled[2], port or 3306)
        return
    scheme = _SCHEME.match(text)
    family = _family(scheme[1]) if scheme else ""
    rest = text[scheme.end() :] if scheme else ""
    if family in _PLACELESS:
        return
    if scheme and scheme[1].lower().startswith("jdbc:"):  # jdbc:oracle:thin:user/password@host:1521:sid
        for host in rest.rpartition("@")[2].split(","):
            parts = host.lstrip("/").split("/", maxsplit=1)[0].split(":")
            yield from _host_list(":".join(parts[:2]), _PORTS.get(family, port))
    elif scheme and keyword_string.is_one(rest):  # PHP's pgsql:host=a;port=1
        for host, at in keyword_string.hosts(rest):
            yield from _host_list(host, at or _PORTS.get("postgresql" if family == "pgsql" else family, port))
    elif scheme and family in _WEB and rest and not rest.isdecimal():  # http:8.8.8.8 and http:/8.8.8.8 are read too
        yield from _url(f"{scheme[1]}://{rest}", port)
    else:
        secure_copy = re.match(r"[\w.-]+@([\w.-]+):(?!\d+(?:[,/]|\Z))", text)
        yield from _host_list(secure_copy[1] if secure_copy else _after_user_info(text), 22 if secure_copy else port)


def _after_user_info(text: str) -> str:
    """Drop user info with a separator in its password; a list with a user for each host stays as it is."""
    one_each = all(re.match(r"[^:@]*:[^@]+@|[^:@]+@", item) for item in re.split(r"[,;]", text))
    return text if one_each else text.rpartition("@")[2]


def _host_list(text: str, port: int | None) -> Iterator[Endpoint]:
    for item in re.split(r"[,;\s]+", text):
        host = item.rpartition("@")[2]
        if "://" in host:
            continue
        first = re.split(r"[/?#]", host, maxsplit=1)[0]
        if not first or "=" in first or (first != host and not re.search(r"[.:]|\Alocalhost\Z", first)):
            continue
        split = _split_port(first)
        if split and not split[0].lower().endswith(_FILES):
            end = _endpoint(split[0], split[1] or port)
            if end:
                yield end


def _split_port(text: str) -> tuple[str, int | None] | None:
    """Split ``host:port``; None when what stands for a port is no port."""
    host = text.rpartition("@")[2]
    if host.startswith("["):
        host, closed, after = host[1:].partition("]")
        colon, port = after[:1], after[1:]
        if not closed or (after and colon != ":"):
            return None
    elif host.count(":") > 1:
        return (host, None) if parse_address(host) else None
    else:
        host, _, port = host.partition(":")
    if not port:
        return host, None
    if not (port.isascii() and port.isdecimal()) or len(port.lstrip("0")) > 5 or not 0 < int(port) < 65536:
        return None
    return host, int(port)


# --- hosts -----------------------------------------------------------------------------------------------------------


def _endpoint(host: str, port: int | None) -> Endpoint | None:
    """Describe one host; None when it is malformed, empty, or the path of a socket."""
    host = unquote(host)
    if not host.isascii():  # browsers and Node map full-width digits and dots before they look at it
        host = unicodedata.normalize("NFKC", host).replace("\N{IDEOGRAPHIC FULL STOP}", ".")
    name = host.lower().removesuffix(".")
    address = parse_address(name) or _number_address(name)
    if address:
        return endpoint(address, port)
    labels = name.split(".")
    if (
        len(name) > 253
        or looks_like_token(host)
        or not all(_LABEL.match(label) for label in labels)
        or re.match(r"(?:\d+|0x[\da-f]*)\Z", labels[-1])
    ):
        return None
    local = labels[-1] == "localhost"
    return Endpoint(name=name, port=port, scope="loopback" if local else "unknown")


def _number_address(host: str) -> IPv4Address | None:
    """Read an address as inet_aton(3) and URL parsers do: one to four numbers, decimal, octal or hexadecimal."""
    parts = host.split(".")
    if len(parts) > 4:
        return None
    numbers = []
    for part in parts:
        digits = re.fullmatch(r"0x([0-9a-f]{0,8})|0([0-7]{0,11})|([1-9][0-9]{0,9})", part)
        if not digits:
            return None
        if digits[1] is not None:
            numbers.append(int(digits[1] or "0", 16))
        elif digits[2] is not None:
            numbers.append(int(digits[2] or "0", 8))
        else:
            numbers.append(int(part))
    *high, low = numbers
    if any(number > 255 for number in high) or low >= 256 ** (4 - len(high)):
        return None
    return IPv4Address(sum(number << (24 - 8 * index) for index, number in enumerate(high)) + low)
