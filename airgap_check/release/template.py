"""Reads the environment template of a release: which variables it sets, which of them hold a real secret.

It is written as `.env` files are, and recognised by its name (`.env.example`, `env.template`, `objectos.env.template`)
or, with another name that ends in `.env`, by variables of the product in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.objectos import dotenv
from airgap_check.release.secret import is_real

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WORDS = r"(?:example|template|sample|dist|tmpl|tpl|skeleton)"
_NAME = re.compile(
    rf"(?:.*[._-])?env(?:ironment)?(?:[._-][a-z0-9]+)?[._-]{_WORDS}(?:\.\w+)?\Z|{_WORDS}[._-]env(?:ironment)?(?:\.\w+)?\Z"
    rf"|.*[._-]{_WORDS}\.env\Z|(?:.*[._-])?{_WORDS}[._-]env\Z"
)
_PLAIN_NAME = re.compile(r"(?:.*\.env|\.env(?:\.[\w-]+)?|environment(?:\.txt)?)\Z")
_PIN = re.compile(r"#sha256=([0-9A-Za-z+/=_-]*)")
CLOUD_URL = "OS_CLOUD_URL"


class Assigned(NamedTuple):
    """A variable of the template; the last line that sets it counts. ``written`` is that line as it stands there."""

    value: str
    path: str
    line: int
    written: str = ""


class Template(NamedTuple):
    """All templates of a release as one, in the order of their names."""

    paths: tuple[str, ...]
    variables: Mapping[str, Assigned]

    def first(self, *names: str) -> tuple[str, Assigned] | None:
        """Return the first of these variables that is set to something."""
        return next(((name, self.variables[name]) for name in names if self._says(name)), None)

    def _says(self, name: str) -> bool:
        return name in self.variables and bool(self.variables[name].value.strip())

    def secrets(self) -> Iterator[tuple[str, Assigned]]:
        """Yield the variables that hold a secret which would work."""
        return ((name, one) for name, one in self.variables.items() if is_real(name, one.value))


def is_named(name: str) -> bool:
    """Tell whether a file says by its name that it is a template."""
    return _NAME.match(name.rpartition("/")[2].lower()) is not None


def may_be_one(name: str) -> bool:
    """Tell whether a file has a name that environment files have, so that its contents decide."""
    return _PLAIN_NAME.match(name.rpartition("/")[2].lower()) is not None


def sets_product(text: str) -> bool:
    """Tell whether a text sets a variable of the product, be it in a comment."""
    return re.search(r"^\s*(?:#\s*)?(?:export\s+)?OS_[A-Z0-9_]+\s*=", text, re.MULTILINE) is not None


def read(texts: Mapping[str, str]) -> Template:
    """Read the templates by their paths."""
    variables = {}
    for path, text in texts.items():
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for one in dotenv.parse(text):
            variables[one.name] = Assigned(one.value, path, one.line, lines[one.line - 1])
    return Template(tuple(texts), variables)


def pin(one: Assigned) -> str | None:
    """Return the digest that a reference to an artifact is pinned to (``#sha256=``), None where it is not pinned.

    The line is read as it stands: for dotenv a ``#`` without quotes begins a comment, for docker's --env-file not.
    """
    found = _PIN.search(one.written)
    return found[1].lower() if found else None
