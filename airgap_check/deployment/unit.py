"""Reads systemd units, and Podman's quadlets, as services: environment, command, image, network.

Source: systemd.unit(5), systemd.exec(5), podman-systemd.unit(5). Each unit is read with its drop-ins among the same
files. A unit that only starts a container is that container.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from airgap_check.deployment import engine_command, environment_file
from airgap_check.deployment.service import Mount, Service, Variable
from airgap_check.deployment.unit_network import TRUE, Line, last, of_command, of_quadlet, of_unit, privileges
from airgap_check.objectos import unit_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airgap_check.deployment.engine_command import Told
    from airgap_check.deployment.file import Files

_QUADLETS = (".container", ".pod", ".kube")
SUFFIXES = (".service", *_QUADLETS)
_SECTIONS = frozenset({"Service", "Container", "Pod", "Kube", "Image"})
_REFERENCE = re.compile(r"\$\{(\w+)\}")


def services(paths: Iterable[str], files: Files) -> Iterator[Service]:
    """Yield the units among some files; ``paths`` are units, drop-ins, and quadlet networks and images."""
    listed = list(paths)
    internal = {os.path.basename(path): _is_internal(path, files) for path in listed if path.endswith(".network")}
    images = {os.path.basename(path): path for path in listed if path.endswith(".image")}
    drop_ins: dict[str, list[str]] = {}
    for path in sorted(listed, key=os.path.basename):
        folder = os.path.basename(os.path.dirname(path))
        if path.endswith(".conf") and folder.endswith(".d"):
            drop_ins.setdefault(folder[:-2], []).append(path)
    units = [(os.path.basename(path), [path]) for path in sorted(listed) if path.endswith(SUFFIXES)]
    named = {name for name, _ in units}
    units += [(name, []) for name in sorted(drop_ins) if name.endswith(SUFFIXES) and name not in named]
    for name, own in units:
        lines = [line for path in (*own, *drop_ins.get(name, ())) for line in _lines(path, files)]
        if lines:
            yield _service(name, _with_image(lines, images, files), files, internal, complete=bool(own))


def _lines(path: str, files: Files) -> Iterator[Line]:
    content = files.read(path)
    for one in unit_file.directives((content or b"").decode(errors="replace")):
        if one.section in _SECTIONS:
            yield Line(one.key, one.value, path, one.line)


def _is_internal(path: str, files: Files) -> bool:
    content = files.read(path)
    directives = unit_file.directives((content or b"").decode(errors="replace"))
    return any(one.key == "Internal" and one.value.lower() in TRUE for one in directives)


def _with_image(lines: list[Line], images: Mapping[str, str], files: Files) -> list[Line]:
    """Put the image that an .image file names in the place of that file's name."""
    named = last(lines, "Image")
    path = images.get(named.value) if named else None
    image = last(list(_lines(path, files)), "Image") if path else None
    return [*lines, image] if image else lines


def _service(name: str, lines: list[Line], files: Files, internal: Mapping[str, bool], *, complete: bool) -> Service:
    first = lines[0]
    assigned = _assigned_before(name, lines, files)
    started = last(lines, "ExecStart")
    words = unit_file.words(started.value) if started else []
    told = engine_command.read(list(_expanded(words, assigned)))
    image, pull = last(lines, "Image"), _pull(lines, told)
    reference = told.image if told else image.value if image else None
    image_line = started if told else image
    image_at = (image_line.path, image_line.line) if image_line else (first.path, first.line)
    directory = last(lines, "WorkingDirectory")
    inside = last(lines, "Exec")
    if told and started:
        isolation = of_command(told, started)
    else:
        isolation = of_quadlet(lines, internal) if name.endswith(_QUADLETS) else of_unit(lines)
    return Service(
        kind="unit",
        name=name,
        image=reference if reference and not reference.endswith((".image", ".build")) else None,
        pull_policy=pull[0] if pull else None,
        builds=bool(reference and reference.endswith(".build")),
        path=first.path,
        line=first.line,
        image_at=image_at,
        pull_at=pull[1] if pull else image_at,
        command=told.command if told else tuple(unit_file.words(inside.value)) if inside else tuple(words),
        directory=next(iter(told.all("workdir")), None) if told else directory.value.lstrip("-") if directory else None,
        variables=tuple(_told_variables(told, started, assigned, files) if told and started else assigned.values()),
        mounts=tuple(_mounts(lines, told)),
        privileges=tuple(privileges(lines, told)),
        isolation=isolation,
        complete=complete,
    )


def _pull(lines: list[Line], told: Told | None) -> tuple[str, tuple[str, int]] | None:
    """Return when an image is asked of a registry, and where that stands."""
    updated = last(lines, "AutoUpdate")
    if updated and updated.value == "registry":
        return "AutoUpdate=registry", (updated.path, updated.line)
    for line in lines:
        if line.key == "ExecStartPre" and engine_command.is_pull(unit_file.words(line.value)):
            return "always", (line.path, line.line)
    started, pull = last(lines, "ExecStart"), last(lines, "Pull")
    if told and started:
        return next(((word, (started.path, started.line)) for word in told.all("pull")), None)
    return (pull.value, (pull.path, pull.line)) if pull else None


def _expanded(words: Iterable[str], assigned: Mapping[str, Variable]) -> Iterator[str]:
    """Fill in ``${NAME}``, and ``$NAME`` as words of its own, as systemd does with a command line."""
    texts = {name: one.text or "" for name, one in assigned.items()}
    for word in words:
        if word[:1] == "$" and word[1:].isidentifier():
            yield from texts.get(word[1:], "").split()
        else:
            yield _REFERENCE.sub(lambda found: texts.get(found[1], ""), word)


def _told_variables(told: Told, at: Line, assigned: Mapping[str, Variable], files: Files) -> Iterator[Variable]:
    """Yield the variables that a container is started with: those of its files, and over them its own."""
    found: dict[str, Variable] = {}
    for path in told.all("env-file"):
        content = files.read(os.path.join(os.path.dirname(at.path), path))
        for name, text, number in environment_file.parse((content or b"").decode(errors="replace"), {}, raw=True):
            found[name] = Variable(name, text, path, number, inline=False)
    for item in told.all("env"):
        name, equals, text = item.partition("=")
        if equals:
            found[name] = Variable(name, text, at.path, at.line)
        elif name in assigned:
            found[name] = assigned[name]
    yield from found.values()


def _assigned_before(unit: str, lines: list[Line], files: Files) -> dict[str, Variable]:
    """Return the variables in force: files over `Environment=`, what is unset last (systemd.exec(5))."""
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
    return {**kept, **executed}


def _assigned(items: Iterable[str], line: Line) -> dict[str, Variable]:
    pairs = [item.partition("=") for item in items]
    return {name: Variable(name, text, line.path, line.line) for name, equals, text in pairs if equals}


def _mounts(lines: list[Line], told: Told | None) -> Iterator[Mount]:
    started = last(lines, "ExecStart")
    listed = [(line.value, line) for line in lines if line.key == "Volume"]
    if told and started:
        listed += [(value, started) for value in told.all("volume")]
        for value in told.all("mount"):
            fields = dict(part.partition("=")[::2] for part in value.split(","))
            target = fields.get("target", fields.get("dst", fields.get("destination", "")))
            read_only = bool({"readonly", "ro"} & set(fields)) and "false" not in {
                fields.get("readonly"),
                fields.get("ro"),
            }
            yield Mount(target, not read_only, started.path, started.line)
    for value, line in listed:
        source, _, rest = value.partition(":")
        target, _, options = rest.partition(":")
        yield Mount(target or source, "ro" not in options.split(","), line.path, line.line)
