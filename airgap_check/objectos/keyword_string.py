"""Reads hosts out of connection strings made of keywords: libpq's ``host=a port=1``, ADO's ``Server=a,1;Database=x``.

Sources: PostgreSQL 33.1.1.1, ADO.NET's ConnectionString, Oracle Net's ``(ADDRESS=(HOST=a)(PORT=1))``.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from airgap_check.redact.names import is_secret_name

_HOSTS = frozenset(
    {"host", "hostaddr", "server", "data source", "datasource", "address", "addr", "network address", "servername"}
)
_START = re.compile(r"\s*+[A-Za-z][A-Za-z0-9_ .-]{0,40}+\s*+=")
_PAIR = re.compile(
    r"""([A-Za-z][A-Za-z0-9_. -]{0,40}?)\s*+=\s*+(?:'((?:\\.|''|[^'\\])*+)'|"((?:\\.|""|[^"\\])*+)"|([^;\s]*+))""",
    re.DOTALL,
)
_ADO_PAIR = re.compile(r"""([A-Za-z][A-Za-z0-9_. -]{0,40}+)=\s*+(?:'([^']*+)'|"([^"]*+)"|([^;]*+))""")
_DESCRIPTION = re.compile(r"\(\s*+host\s*+=([^()]*+)\)(?:\s*+\(\s*+port\s*+=\s*+(\d{1,5})\s*+\))?", re.IGNORECASE)
_LOCAL = frozenset({".", "(local)", "(localdb)"})


def is_one(text: str) -> bool:
    """Tell whether a text is made of keywords rather than being a URL or a list of hosts."""
    if "(" in text and _DESCRIPTION.search(text):
        return True
    start = _START.match(text)
    return start is not None and "://" not in text[: start.end()]


def hosts(text: str) -> list[tuple[str, int | None]]:
    """Return each host with its port as the string pairs them up, paths of sockets left out."""
    described = [(host.strip(), int(port) if port else None) for host, port in _DESCRIPTION.findall(text)]
    if described:
        return described
    pairs = _pairs(text)
    port = next((value for name, value in pairs if name in {"port", "portnumber"}), "")
    found: list[tuple[str, int | None]] = []
    for name, value in pairs:
        if name in _HOSTS:
            found += with_ports(value, port)
        elif "://" in value and not is_secret_name(name):
            found.append((value, None))
    return found


def _pairs(text: str) -> list[tuple[str, str]]:
    pattern = _ADO_PAIR if ";" in text else _PAIR
    return [
        (match[1].strip().lower(), next((group for group in match.groups()[1:] if group is not None), ""))
        for match in pattern.finditer(text)
    ]


def pairs_of_query(query: str) -> list[tuple[str, str]]:
    """Return the parameters of a URL query, names in lower case, percent-decoded."""
    pairs = (part.partition("=") for part in re.split(r"[&;]", query.partition("#")[0]))
    return [(name.strip().lower(), unquote_plus(value)) for name, _, value in pairs]


def with_ports(value: str, ports: str) -> list[tuple[str, int | None]]:
    """Pair ``a,b`` with ``1,2``, or with the one port of all; ``tcp:a,1433`` is SQL Server's way to write a port."""
    value = re.sub(r"\A(?:tcp|admin):", "", value.strip(), flags=re.IGNORECASE)
    value = re.sub(r"\\[^,:;]*", "", value)  # host\instance
    listed = [host.strip() for host in value.split(",")]
    if len(listed) == 2 and listed[1].isascii() and listed[1].isdecimal():
        listed, ports = listed[:1], listed[1]
    numbers = [number.strip() for number in ports.split(",")]
    found = []
    for index, host in enumerate(listed):
        if not host or host.lower() in _LOCAL or host.startswith(("/", "@", "np:", "lpc:", "(localdb)")):
            continue  # a socket's path, an abstract socket, a pipe
        number = numbers[index] if index < len(numbers) else numbers[-1]
        valid = number.isascii() and number.isdecimal() and len(number) < 6 and 0 < int(number) < 65536
        found.append((host, int(number) if valid else None))
    return found
