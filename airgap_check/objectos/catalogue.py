"""The catalogue of variables that name, imply or fail to name a place; the facts themselves are in `settings.yaml`."""

from __future__ import annotations

import os
import re
from fnmatch import translate
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Literal

import msgspec

from airgap_check import yamlfile

if TYPE_CHECKING:
    from collections.abc import Mapping

Form = Literal[
    "endpoint",  # a URL, DSN, host or list of them
    "path-or-url",  # a URL is an endpoint, anything else a file
    "word",  # a switch or a credential: implies a destination without naming it
    "own",  # the product's own, inbound name: never a destination
    "detail",  # says more about another setting, and is stated with that one only
]
_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "settings.yaml")


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the catalogue."""


class Absence(_Part, frozen=True, kw_only=True):
    """What a variable resolves to that is not there, in words or as a URL, and whether that is public."""

    means: str
    public: bool = False


class Switch(_Part, frozen=True, kw_only=True):
    """The words by which a variable says that nothing is dialled, and the others that it makes silent with it."""

    off: frozenset[str]
    of: tuple[str, ...] = ()


class Variable(_Part, frozen=True, kw_only=True):
    """What is known of a variable; ``port_variable`` is the sibling that holds the port, ``port`` the default.

    ``off`` holds the words that switch it off, none where the usual ones do. ``implies`` maps values to the hosts that
    they lead to, unless one of ``unless`` is given beside it; ``read`` maps products to the versions that read it.
    Of the hosts implied, ``browser`` are dialled by browsers alone; ``switch`` tells what a word turns off.
    ``skip`` holds words of a list that are no hosts; ``current`` is the name that has replaced this one.
    """

    role: str
    form: Form
    port: int | None = None
    port_variable: str | None = None
    off: frozenset[str] = frozenset()
    unset: Absence | None = None
    empty: Absence | None = None
    implies: dict[str, tuple[str, ...]] = {}
    unless: tuple[str, ...] = ()
    read: dict[str, str] = {}
    browser: tuple[str, ...] = ()
    switch: Switch | None = None
    skip: tuple[str, ...] = ()
    current: str | None = None


class Cloud(_Part, frozen=True, kw_only=True, rename={"since": "from"}):
    """What a product makes of an unset control plane from a version on."""

    since: str
    unset: Literal["public", "offline"]


class Product(_Part, frozen=True, kw_only=True):
    """A product: the variable to report by role where none is set, and its artifact variables, the strongest first."""

    name: str
    cloud: tuple[Cloud, ...] = ()
    expected: dict[str, str]
    artifact: tuple[str, ...] = ()


class Door(_Part, frozen=True, kw_only=True):
    """The names that the product understands though nobody listed them."""

    prefix: str
    endings: tuple[str, ...]
    roles: dict[str, str]


class Pattern(_Part, frozen=True, kw_only=True):
    """Names that begin and end alike."""

    match: str
    role: str
    form: Form
    any_case: bool = False


class _Entry(Variable, frozen=True, kw_only=True):
    names: tuple[str, ...]
    aliases: tuple[str, ...] = ()


class _File(_Part, frozen=True, kw_only=True):
    products: dict[str, Product]
    door: Door
    variables: tuple[_Entry, ...]
    patterns: tuple[Pattern, ...]


class Catalogue:
    """The catalogue by name; ``details`` are in it as much as what is stated on its own."""

    def __init__(self, file: _File) -> None:
        """Index what a file says."""
        self.products: Mapping[str, Product] = {product.name: product for product in file.products.values()}
        self.short: Mapping[str, str] = {product.name: key for key, product in file.products.items()}
        self.variables: Mapping[str, Variable] = dict(_named(file.variables))
        ends = "|".join(file.door.endings)
        self._door = re.compile(rf"{file.door.prefix}(?:[A-Z0-9]+_)+(?:{ends})\Z")
        self._roles = file.door.roles
        self._patterns = [
            (re.compile(translate(one.match), re.IGNORECASE if one.any_case else 0), one) for one in file.patterns
        ]

    def find(self, name: str) -> Variable | None:
        """Return what is known of a name: listed, of a pattern, or through the product's generic door."""
        known = self.variables.get(name)
        if known is None and len(name) <= _LONGEST:
            known = next((_plain(one.role, one.form) for like, one in self._patterns if like.match(name)), None)
            if known is None and self._door.match(name):
                role = next((role for word, role in self._roles.items() if word in name), "other")
                known = _plain(role, "endpoint")
        return known

    def named(self, role: str, form: Form) -> frozenset[str]:
        """Return the names of a role and form."""
        return frozenset(name for name, one in self.variables.items() if (one.role, one.form) == (role, form))


_LONGEST = 256


@lru_cache(maxsize=64)
def _plain(role: str, form: Form) -> Variable:
    return Variable(role=role, form=form)


def _named(entries: tuple[_Entry, ...]) -> list[tuple[str, Variable]]:
    """Spread entries over their names, aliases included. Raises ValueError for a name that stands there twice."""
    found: dict[str, Variable] = {}
    for entry in entries:
        facts = {field: getattr(entry, field) for field in Variable.__struct_fields__}
        current = Variable(**facts)
        outdated = Variable(**{**facts, "current": entry.names[0]}) if entry.aliases else current
        for name in (*entry.names, *entry.aliases):
            if name in found:
                raise ValueError(f"{name} stands twice in the catalogue")
            found[name] = outdated if name in entry.aliases else current
    return list(found.items())


@cache
def load() -> Catalogue:
    """Read the shipped catalogue, once. Raises `InvalidFileError` with every fault of it."""
    with open(_FILE, "rb") as file:
        return parse(_FILE, file.read())


def parse(path: str, content: bytes) -> Catalogue:
    """Read a catalogue. Raises `InvalidFileError`."""
    document = yamlfile.parse(path, content)
    decoded = yamlfile.decode(document, _File)
    document.refuse()
    return Catalogue(decoded)
