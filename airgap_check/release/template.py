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
    from collections.abc import Collection, Iterator, Mapping

_WORDS = r"(?:example|template|sample|dist|tmpl|tpl|skeleton)"
_NAME = re.compile(
    rf"(?:.*[._-])?(?:dot)?env(?:ironment|file)?(?:[._-][a-z0-9]+)?[._-]{_WORDS}(?:\.\w+)?\Z|{_WORDS}[._-]env(?:ironment)?(?:\.\w+)?\Z"
    rf"|.*[._-]{_WORDS}\.env\Z|(?:.*[._-])?{_WORDS}[._-]env\Z"
)
_PLAIN_NAME = re.compile(r"(?:.*\.env|\.env(?:\.[\w-]+)?|env(?:ironment)?(?:\.txt)?)\Z")
_PIN = re.compile(r"#sha256=([0-9A-Za-z+/=_-]*)")
_COMMENT = re.compile(r"\s*[#;]+\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(\S+)\s*\Z")
_COPIED = re.compile(rf"[._-]?{_WORDS}(?=[._-]|\Z)|{_WORDS}[._-]")
CLOUD_URL = "OS_CLOUD_URL"


class Assigned(NamedTuple):
    """A variable of the template; the last line that sets it counts. ``written`` is that line as it stands there."""

    value: str
    path: str
    line: int
    written: str = ""

    @property
    def is_quoted(self) -> bool:
        """Tell whether the value stands in quotes, which not every reader of such files takes away."""
        return self.written.partition("=")[2].strip().startswith(("'", '"', "`"))


class Template(NamedTuple):
    """All templates of a release: ``files`` by path, ``secrets`` the variables that hold a secret which would work."""

    files: Mapping[str, Mapping[str, Assigned]]
    secrets: tuple[tuple[str, Assigned], ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of the templates, in order."""
        return tuple(self.files)

    @property
    def variables(self) -> Mapping[str, Assigned]:
        """The variables of all templates; the last file that sets one counts."""
        return {name: one for variables in self.files.values() for name, one in variables.items()}

    def values(self, names: Collection[str]) -> Iterator[str]:
        """Yield what the templates set these variables to, where that is something."""
        return (
            one.value
            for variables in self.files.values()
            for name, one in variables.items()
            if name in names and one.value.strip()
        )


def is_named(name: str) -> bool:
    """Tell whether a file says by its name that it is a template."""
    return _NAME.match(name.rpartition("/")[2].lower()) is not None


def copied_to(name: str) -> str:
    """Return the name of the file that a template is copied to and filled in: without the word that makes it one."""
    base = _COPIED.sub("", name.rpartition("/")[2].lower(), count=1).removesuffix(".txt")
    return ".env" if base.strip("._-") in {"", "env", "environment"} else base


def may_be_one(name: str) -> bool:
    """Tell whether a file has a name that environment files have, so that its contents decide."""
    return _PLAIN_NAME.match(name.rpartition("/")[2].lower()) is not None


def sets_product(text: str) -> bool:
    """Tell whether a text sets a variable of the product, be it in a comment."""
    return re.search(r"^\s*(?:#\s*)?(?:export\s+)?OS_[A-Z0-9_]+\s*=", text, re.MULTILINE) is not None


def read(texts: Mapping[str, str]) -> Template:
    """Read the templates by their paths."""
    files: dict[str, dict[str, Assigned]] = {}
    secrets: list[tuple[str, Assigned]] = []
    for path, text in texts.items():
        files[path] = {}
        for name, one in _assignments(path, text):
            files[path][name] = one
            if is_real(name, one.value):
                secrets.append((name, one))
        secrets += ((name, one) for name, one in _commented(path, text) if is_real(name, one.value))
    return Template(files, tuple(dict.fromkeys(secrets)))


def _assignments(path: str, text: str) -> Iterator[tuple[str, Assigned]]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return ((one.name, Assigned(one.value, path, one.line, lines[one.line - 1])) for one in dotenv.parse(text))


def _commented(path: str, text: str) -> Iterator[tuple[str, Assigned]]:
    """Yield what stands in comments like a variable: for a secret it makes no difference."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := _COMMENT.match(line):
            yield found[1], Assigned(found[2], path, number, line)


def pin(one: Assigned) -> str | None:
    """Return the digest that a reference to an artifact is pinned to (``#sha256=``), None where it is not pinned.

    The line is read as it stands: for dotenv a ``#`` without quotes begins a comment, for docker's --env-file not.
    """
    found = _PIN.search(one.written)
    return found[1].lower() if found else None
