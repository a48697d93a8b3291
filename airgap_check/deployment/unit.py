"""Reads systemd units, and Podman's quadlets, as services: environment, command, image, network.

Source: systemd.unit(5), systemd.exec(5), systemd.resource-control(5) (IPAddressDeny=), podman-systemd.unit(5). Each
unit is read with its drop-ins among the same files.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.deployment.privilege import of_capability
from airgap_check.deployment.service import Isolation, Mount, Remark, Service, Variable
from airgap_check.objectos import unit_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airgap_check.deployment.file import Files

SUFFIXES = (".service", ".container")
_SECTIONS = frozenset({"Service", "Container"})
_TRUE = frozenset({"1", "yes", "true", "on", "y", "t"})
_ENGINE = re.compile(r"(?:\A|/)(?:docker|podman|nerdctl)\Z")
_HOST_OPTION = re.compile(r"--privileged(?:=true)?\Z|--(?:net|network|pid|ipc|uts|userns)(?:=host)?\Z")


class Line(NamedTuple):
    """One directive of a unit and the file that it stands in."""

    key: str
    value: str
    path: str
    line: int


def services(paths: Iterable[str], files: Files) -> Iterator[Service]:
    """Yield the units among some files; ``paths`` are units, drop-ins and quadlet networks."""
    listed = list(paths)
    internal = {os.path.basename(path): _is_internal(path, files) for path in listed if path.endswith(".network")}
    drop_ins: dict[str, list[str]] = {}
    for path in sorted(listed, key=os.path.basename):
        folder = os.path.basename(os.path.dirname(path))
        if path.endswith(".conf") and folder.endswith(".d"):
            drop_ins.setdefault(folder[:-2], []).append(path)
    units = {os.path.basename(path): path for path in listed if path.endswith(SUFFIXES)}
    for name in sorted({*units, *(name for name in drop_ins if name.endswith(SUFFIXES))}):
        own = [units[name]] if name in units else []
        lines = [line for path in (*own, *drop_ins.get(name, ())) for line in _lines(path, files)]
        if lines:
            yield _service(name, lines, files, internal, complete=bool(own))


def _lines(path: str, files: Files) -> Iterator[Line]:
    content = files.read(path)
    for one in unit_file.directives((content or b"").decode(errors="replace")):
        if one.section in _SECTIONS:
            yield Line(one.key, one.value, path, one.line)


def _is_internal(path: str, files: Files) -> bool:
    content = files.read(path)
    directives = unit_file.directives((content or b"").decode(errors="replace"))
    return any(one.key == "Internal" and one.value.lower() in _TRUE for one in directives)


def _service(name: str, lines: list[Line], files: Files, internal: Mapping[str, bool], *, complete: bool) -> Service:
    first = lines[0]
    starts = _last(lines, "ExecStart") or _last(lines, "Exec")
    image, pull = _last(lines, "Image"), _last(lines, "Pull")
    directory = _last(lines, "WorkingDirectory")
    container = name.endswith(".container")
    image_at = (image.path, image.line) if image else (first.path, first.line)
    return Service(
        kind="unit",
        name=name,
        image=image.value if image and image.value and not image.value.endswith((".image", ".build")) else None,
        pull_policy=pull.value if pull else None,
        builds=bool(image and image.value.endswith(".build")),
        path=first.path,
        line=first.line,
        image_at=image_at,
        pull_at=(pull.path, pull.line) if pull else image_at,
        command=tuple(unit_file.words(starts.value)) if starts else (),
        directory=directory.value.lstrip("-") if directory else None,
        variables=tuple(_variables(name, lines, files)),
        mounts=tuple(_mounts(lines)),
        privileges=tuple(_privileges(lines)),
        isolation=_quadlet_isolation(lines, internal) if container else _unit_isolation(lines),
        complete=complete,
    )


def _last(lines: list[Line], key: str) -> Line | None:
    return next((line for line in reversed(lines) if line.key == key), None)


def _variables(unit: str, lines: list[Line], files: Files) -> Iterator[Variable]:
    """Yield the variables in force: files over `Environment=`, what is unset last (systemd.exec(5))."""
    assigned: dict[str, Variable] = {}
    sources: list[Line] = []
    unset: list[str] = []
    executed: dict[str, Variable] = {}
    for line in lines:
        if line.key == "Environment":
            if not line.value:
                assigned.clear()
            assigned |= _assigned(unit_file.words(line.value), line)
        elif line.key == "EnvironmentFile":
            sources = [*sources, line] if line.value else []
        elif line.key == "UnsetEnvironment":
            unset = [*unset, *unit_file.words(line.value)] if line.value else []
        elif line.key == "ExecStart":
            executed |= _assigned(unit_file.env_arguments(line.value), line)
    for line in sources:
        path, any_text = unit_file.expanded(line.value.removeprefix("-"), unit)
        if any_text or any(sign in path for sign in "*?["):
            files.fail(f"{unit}: EnvironmentFile={line.value} may be several files")
            continue
        path = path if path.startswith("/") else os.path.join(os.path.dirname(line.path), path)
        content = files.read(path, optional=line.value.startswith("-"))
        for name, text, number in unit_file.environment_file((content or b"").decode(errors="replace")):
            assigned[name] = Variable(name, text, path, number, inline=False)
    kept = {name: one for name, one in assigned.items() if name not in unset and f"{name}={one.text}" not in unset}
    yield from {**kept, **executed}.values()


def _assigned(items: Iterable[str], line: Line) -> dict[str, Variable]:
    pairs = [item.partition("=") for item in items]
    return {name: Variable(name, text, line.path, line.line) for name, equals, text in pairs if equals}


def _mounts(lines: list[Line]) -> Iterator[Mount]:
    for line in lines:
        if line.key == "Volume":
            source, _, rest = line.value.partition(":")
            target, _, options = rest.partition(":")
            yield Mount(target or source, "ro" not in options.split(","), line.path, line.line)


def _privileges(lines: list[Line]) -> Iterator[Remark]:
    for line in lines:
        if line.key == "Network" and line.value == "host":
            yield Remark("Network=host", line.path, line.line)
        elif line.key in {"AddCapability", "AmbientCapabilities"}:
            for capability in line.value.split():
                if why := of_capability(capability):
                    yield Remark(f"{line.key}={capability} ({why})", line.path, line.line)
        elif line.key in {"PodmanArgs", "ExecStart"}:
            yield from (Remark(found, line.path, line.line) for found in _options(line))


def _options(line: Line) -> Iterator[str]:
    """Yield what ``docker run`` is told that takes a container out of its own network."""
    words = unit_file.words(line.value)
    if line.key == "ExecStart" and not (words and _ENGINE.search(words[0].lstrip("@-:+!|"))):
        return
    for index, word in enumerate(words):
        if not _HOST_OPTION.match(word):
            continue
        if word.startswith("--privileged") or word.endswith("=host"):
            yield word
        elif words[index + 1 : index + 2] == ["host"]:
            yield f"{word} host"


def _unit_isolation(lines: list[Line]) -> Isolation | None:
    """Say that a unit may send nowhere but to what it names; a unit without a word about it is the host's business."""
    private = _last(lines, "PrivateNetwork")
    if private and private.value.lower() in _TRUE:
        return Isolation("passed", "has a network of its own with loopback only", private.path, private.line)
    denied = [line for line in lines if line.key == "IPAddressDeny" and line.value]
    allowed = [word for line in lines if line.key == "IPAddressAllow" for word in line.value.split()]
    if not any({"any", "0.0.0.0/0", "::/0"} & set(line.value.split()) for line in denied):
        return None
    last = denied[-1]
    if {"any", "0.0.0.0/0", "::/0"} & set(allowed):
        return Isolation("failed", "denies every address and then allows every address", last.path, last.line)
    return Isolation("passed", f"may send to {', '.join(allowed) or 'nobody'} only", last.path, last.line)


def _quadlet_isolation(lines: list[Line], internal: Mapping[str, bool]) -> Isolation | None:
    networks = [line for line in lines if line.key == "Network" and line.value]
    ports = any(line.key == "PublishPort" for line in lines)
    if any(line.value == "host" for line in networks):
        return None
    if not networks:
        first = lines[0]
        detail = "is on the default network, which is not internal"
        return Isolation("failed", detail, first.path, first.line, published=ports)
    for line in networks:
        name = line.value.partition(":")[0]
        if name == "none" or internal.get(name):
            continue
        if name.endswith(".network") and name not in internal:
            return Isolation("unknown", f"is on {name}, which is not among the files", line.path, line.line)
        return Isolation("failed", f"is on {name}, which is not internal", line.path, line.line, published=ports)
    return Isolation("passed", "is on internal networks only", networks[0].path, networks[0].line)
