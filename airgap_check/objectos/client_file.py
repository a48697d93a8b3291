"""Reads what package managers and container engines are told in files: the registries and proxies that they go to.

Sources: npmrc(5), pip's configuration, dockerd's daemon.json, containers-registries.conf(5). What a file says beside
that, credentials above all, is left where it is.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

_REGISTRY, _PROXY, _LINKS = "npm_config_registry", "HTTPS_PROXY", "PIP_FIND_LINKS"
_NPM = {"proxy": _PROXY, "https-proxy": _PROXY, "http-proxy": _PROXY, "disturl": _REGISTRY}
_PIP = {"index-url": _REGISTRY, "extra-index-url": _REGISTRY, "find-links": _LINKS, "proxy": _PROXY}
_DAEMON_PROXIES = ("http-proxy", "https-proxy")
_MOST = 1000  # destinations of one file


class Named(NamedTuple):
    """A destination that a file names: under which key, in which line, and the variable that means the same."""

    key: str
    value: str
    line: int
    variable: str


class MalformedFileError(ValueError):
    """A file that its own program could not read either."""


def read(path: str, content: bytes) -> list[Named]:
    """Return what a file names, by the kind that its name says it is. Raises `MalformedFileError`."""
    text = content.decode(errors="replace")
    name = path.rpartition("/")[2]
    if name.endswith("npmrc"):
        found = _npmrc(text)
    elif name == "daemon.json":
        found = _daemon(text)
    elif name == "registries.conf" or path.rpartition("/")[0].endswith("/registries.conf.d"):
        found = _registries(text)
    else:
        found = _pip(text)
    named: list[Named] = []
    for one in found:
        if len(named) == _MOST:
            raise MalformedFileError(f"names more than {_MOST} places")
        named.append(one)
    return named


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and not line.lstrip().startswith(("#", ";")):
            yield number, line.rstrip()


def _npmrc(text: str) -> Iterator[Named]:
    for number, line in _lines(text):
        key, _, value = (part.strip() for part in line.partition("="))
        if value and (key == "registry" or re.fullmatch(r"@[^:/\s]+:registry", key)):
            yield Named(key, value, number, _REGISTRY)
        elif value and key in _NPM:
            yield Named(key, value, number, _NPM[key])


def _pip(text: str) -> Iterator[Named]:
    """Read an INI file whose values may go on in indented lines."""
    key = ""
    for number, line in _lines(text):
        value = line.strip()
        if not line[0].isspace():
            key, _, value = (part.strip() for part in re.sub("[:=]", "=", line, count=1).partition("="))
            key = key.lower().replace("_", "-")
        for item in value.split() if key in _PIP else ():
            yield Named(key, item, number, _PIP[key])


def _daemon(text: str) -> Iterator[Named]:
    try:
        stated = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedFileError(str(error)) from None
    if not isinstance(stated, dict):
        raise MalformedFileError("is no JSON object")
    for key in ("registry-mirrors", "insecure-registries"):
        for value in _texts(stated.get(key)):
            if "://" in value or "/" not in value:  # a network is whom to trust, not where to go
                yield Named(key, value, _line_of(text, value), _REGISTRY)
    proxies = stated.get("proxies")
    for key in _DAEMON_PROXIES:
        for value in _texts([proxies.get(key)] if isinstance(proxies, dict) else None):
            yield Named(key, value, _line_of(text, value), _PROXY)


def _registries(text: str) -> Iterator[Named]:
    try:
        stated = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MalformedFileError(str(error)) from None
    for key, value in _of_registries(stated):
        yield Named(key, value, _line_of(text, value), _REGISTRY)


def _of_registries(stated: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for value in _texts(stated.get("unqualified-search-registries")):
        yield "unqualified-search-registries", value
    first = stated.get("registries")  # the first version of the format
    for group in ("search", "insecure"):
        inner = first.get(group) if isinstance(first, dict) else None
        for value in _texts(inner.get("registries") if isinstance(inner, dict) else None):
            yield f"registries.{group}", value
    for registry in _tables(stated.get("registry")):
        mirrors = _tables(registry.get("mirror"))
        if registry.get("blocked") is not True:
            yield from (("registry.location", value) for value in _texts([registry.get("location")]))
            yield from (("registry.mirror", value) for one in mirrors for value in _texts([one.get("location")]))


def _tables(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str) and one.strip()] if isinstance(value, list) else []


def _line_of(text: str, value: str) -> int:
    """Return the line where a value stands first; of one that is written with escapes, the first line."""
    position = text.find(value)
    return text.count("\n", 0, position) + 1 if position >= 0 else 1
