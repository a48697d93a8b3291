"""What every kind of deployment file comes to: services with an image, variables, mounts and privileges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from airgap_check.evidence.asset import Outcome

Form = Literal["compose", "kubernetes", "unit", "dockerfile"]


class Variable(NamedTuple):
    """A variable that a service is given, and where its value stands.

    ``text`` is None where the value cannot be known from the files. ``hidden`` marks one of a Secret: it is judged and
    never shown. ``inline`` tells whether the value stands in the deployment file itself.
    """

    name: str
    text: str | None
    path: str
    line: int | None
    hidden: bool = False
    inline: bool = True


class Mount(NamedTuple):
    """Something mounted into a service; ``target`` is the path inside."""

    target: str
    writable: bool
    path: str
    line: int | None


class Remark(NamedTuple):
    """Something that was found to be so, in words, and where."""

    detail: str
    path: str
    line: int | None


class Isolation(NamedTuple):
    """Whether the network of a service keeps it inside.

    ``by_host`` where an open one still leads through the host, as every network of a container engine does: what the
    host does not let out stays in.
    """

    outcome: Outcome
    detail: str
    path: str
    line: int | None
    by_host: bool = False


class Service(NamedTuple):
    """One service, container or unit, as its files describe it.

    ``peers`` are the names by which it reaches others of the same deployment: what it sends to them stays inside.
    ``complete`` tells whether this is all of it: a fragment that is laid over another file is not, nor is a pod whose
    variables come from objects that are not among the files.
    """

    kind: Form
    name: str
    image: str | None
    pull_policy: str | None
    builds: bool
    path: str
    line: int | None
    image_at: tuple[str, int | None] = ("", None)
    pull_at: tuple[str, int | None] = ("", None)
    command: tuple[str, ...] = ()
    directory: str | None = None
    variables: tuple[Variable, ...] = ()
    mounts: tuple[Mount, ...] = ()
    privileges: tuple[Remark, ...] = ()
    isolation: Isolation | None = None
    peers: frozenset[str] = frozenset()
    complete: bool = True
