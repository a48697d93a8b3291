"""Reads a command that starts a container: what ``docker run``, ``podman run`` and their kin are told.

Sources: docker-run(1), podman-run(1). An option that is not known here is taken to have a value, as most have.
"""

from __future__ import annotations

import posixpath
import shlex
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_ENGINES = frozenset({"docker", "podman", "nerdctl"})
_SHELLS = frozenset({"sh", "bash", "dash", "ash"})
_RUN = frozenset({"run", "create"})
_SWITCHES = frozenset({
    "detach", "disable-content-trust", "help", "init", "interactive", "no-healthcheck", "no-hosts", "no-hostname",
    "oom-kill-disable", "privileged", "publish-all", "quiet", "read-only", "read-only-tmpfs", "replace", "rm", "rmi",
    "rootfs", "sig-proxy", "tls-verify", "tty", "env-host", "http-proxy", "passwd", "debug", "tls", "tlsverify",
})  # fmt: skip
_SHORT_SWITCHES = frozenset("ditPqDr")
_LONG = {
    "e": "env", "v": "volume", "p": "publish", "w": "workdir", "u": "user", "l": "label", "m": "memory",
    "h": "hostname", "a": "attach", "c": "cpu-shares",
}  # fmt: skip


class Told(NamedTuple):
    """What a container is started with; ``options`` are by their long name, in order, a switch with no value."""

    image: str
    command: tuple[str, ...]
    options: tuple[tuple[str, str], ...]

    def all(self, *names: str) -> list[str]:
        """Return the values of an option by any of its names."""
        return [value for name, value in self.options if name in names]


def is_pull(words: Sequence[str]) -> bool:
    """Tell whether a command asks a registry for an image."""
    rest = _unwrapped(list(words))
    return "pull" in rest[1:3]


def read(words: Sequence[str]) -> Told | None:
    """Read a command line, also one inside of ``sh -c``; None for one that starts no container."""
    rest = _unwrapped(list(words))
    if not rest:
        return None
    del rest[0]
    options(rest)  # of the engine itself
    if rest[:1] == ["container"]:
        del rest[0]
    if not rest or rest.pop(0) not in _RUN:
        return None
    given = options(rest)
    return Told(rest[0], tuple(rest[1:]), tuple(given)) if rest else None


def _unwrapped(words: list[str]) -> list[str]:
    """Return a command line from the engine on; nothing where there is none."""
    words = [words[0].lstrip("@-:+!|"), *words[1:]] if words else []  # systemd's prefixes
    if words and posixpath.basename(words[0]) in _SHELLS and "-c" in words[:-1]:
        try:
            words = shlex.split(words[words.index("-c") + 1])
        except ValueError:
            return []
    begin = next((index for index, word in enumerate(words) if posixpath.basename(word) in _ENGINES), None)
    return [] if begin is None else list(words[begin:])


def options(rest: list[str]) -> list[tuple[str, str]]:
    """Take the options off the front of a command line, each with its long name."""
    found: list[tuple[str, str]] = []
    position = 0
    while position < len(rest) and rest[position].startswith("-") and rest[position] not in {"-", "--"}:
        word = rest[position]
        position += 1
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            switch = name in _SWITCHES
        else:
            flags = word[1:].lstrip("".join(_SHORT_SWITCHES)) if word[1] in _SHORT_SWITCHES else word[1:]
            name, value = _LONG.get(flags[:1], flags[:1]), flags[1:].removeprefix("=")
            equals, switch = value, not flags
        if not equals and not switch and position < len(rest):
            value = rest[position]
            position += 1
        found.append((name, value))
    del rest[:position]
    return found
