"""Turns the services of a compose project into services: image, variables, mounts, privileges, networks."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from airgap_check.deployment import environment_file
from airgap_check.deployment.compose_file import Project, assignments
from airgap_check.deployment.privilege import of_capability, of_path
from airgap_check.deployment.service import Isolation, Mount, Remark, Service, Variable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.deployment.file import Files
    from airgap_check.manifest import Node

_HOST_SPACES = ("network_mode", "pid", "ipc", "uts", "userns_mode")


def services(project: Project, files: Files) -> Iterator[Service]:
    """Yield the services of a project, those of every profile included."""
    peers = frozenset(_peers(project))
    for name, node in project.services.items():
        if node.fields is None:
            files.note(node.path, node.line, f"services.{name} is no mapping", column=node.column)
            continue
        yield _service(name, node, project, files)._replace(peers=peers - set(_renamed(node)))


def _peers(project: Project) -> Iterator[str]:
    """Yield the names that the engine resolves inside of a project, to its containers."""
    for name, node in project.services.items():
        yield name.lower()
        yield from (text.lower() for key in ("container_name", "hostname") if (text := node.word(key)))
        for network in node.pairs("networks").values():
            yield from (alias.text.lower() for alias in network.each("aliases") if alias.text)


def _renamed(node: Node) -> Iterator[str]:
    """Yield the names to which a service gives an address of its own, over those of its peers."""
    hosts = node.get("extra_hosts")
    if hosts is None:
        return
    for text in hosts.fields or [item.text or "" for item in hosts.items or ()]:
        yield text.replace("=", ":").partition(":")[0].strip().lower()


def _service(name: str, node: Node, project: Project, files: Files) -> Service:
    image, pull = node.get("image"), node.get("pull_policy")
    builds = node.get("build") is not None
    return Service(
        kind="compose",
        name=name,
        image=image.text if image and image.text else None,
        pull_policy=pull.text if pull else None,
        builds=builds,
        path=node.path,
        line=node.line,
        image_at=(image.path, image.line) if image else (node.path, node.line),
        pull_at=(pull.path, pull.line) if pull else (node.path, node.line),
        command=(*_words(node.get("entrypoint")), *_words(node.get("command"))),
        directory=node.word("working_dir"),
        variables=tuple(_variables(node, project, files)),
        mounts=tuple(_mounts(node)),
        privileges=tuple(_privileges(node, project)),
        isolation=_isolation(node, project),
        complete=image is not None or builds,
    )


def _words(node: Node | None) -> list[str]:
    if node is None:
        return []
    if node.items is not None:
        return [item.text for item in node.items if item.text is not None]
    try:
        return shlex.split(node.text or "")
    except ValueError:
        return (node.text or "").split()


def _variables(node: Node, project: Project, files: Files) -> Iterator[Variable]:
    """Yield the variables in force: `environment` over `env_file`, a later file over an earlier one."""
    found: dict[str, Variable] = {}
    known = project.values(node)
    env_file = node.get("env_file")
    entries = [] if env_file is None else env_file.items if env_file.items is not None else [env_file]
    for entry in entries:
        name = entry.text if entry.text is not None else entry.word("path")
        if not name:
            continue
        required = entry.word("required") not in {"false", "False", "no", "off"}
        path = os.path.normpath(os.path.join(os.path.dirname(entry.path), name))
        content = files.read(path, optional=not required)
        raw = entry.word("format") == "raw"
        for variable, text, line in environment_file.parse((content or b"").decode(errors="replace"), known, raw=raw):
            value = known.get(variable) if text is None else text
            if value is not None:
                found[variable] = Variable(variable, value, path, line, inline=False)
    for variable, value_node in assignments(node.get("environment")).items():
        null = value_node.is_null()
        text = known.get(variable) if null else value_node.text
        if text is None:  # a name without a value: of the shell, or not handed on at all
            found.pop(variable, None)
            continue
        if _is_required_elsewhere(value_node, project):
            found[variable] = Variable(variable, None, value_node.path, value_node.line)
            continue
        inline = not null and "$" not in (value_node.written or "").replace("$$", "")
        found[variable] = Variable(variable, text, value_node.path, value_node.line, inline=inline)
    yield from found.values()


def _is_required_elsewhere(node: Node, project: Project) -> bool:
    """Tell whether a value has a variable that compose insists on, and that no file sets: nobody can know it."""
    if "?" not in (node.written or ""):
        return False
    return any(one.required and one.name in (node.written or "") for one in project.unset.values())


def _mounts(node: Node) -> Iterator[Mount]:
    for volume in node.each("volumes"):
        if volume.text is not None:
            source, _, rest = volume.text.partition(":")
            target, _, options = rest.partition(":")
            read_only = bool({"ro", "readonly"} & set(options.split(",")))
            yield Mount(target or source, not read_only, volume.path, volume.line)
        elif (target_word := volume.word("target")) and volume.word("type") != "tmpfs":
            yield Mount(target_word, not volume.is_true("read_only"), volume.path, volume.line)
    for kind in ("configs", "secrets"):
        for entry in node.each(kind):
            name = entry.text or entry.word("target") or entry.word("source") or ""
            default = f"/run/secrets/{name}" if kind == "secrets" else f"/{name}"
            yield Mount(name if name.startswith("/") else default, writable=False, path=entry.path, line=entry.line)


def _privileges(node: Node, project: Project) -> Iterator[Remark]:
    if node.is_true("privileged"):
        yield _remark(node, "privileged", "privileged: true")
    for key in _HOST_SPACES:
        if node.word(key) == "host":
            yield _remark(node, key, f"{key}: host")
    for capability in node.each("cap_add"):
        if why := of_capability(capability.text or ""):
            yield Remark(f"cap_add {capability.text} ({why})", capability.path, capability.line)
    for name in _networks(node):
        network = project.networks.get(name)
        if "host" in {name, network and network.word("name"), network and network.word("driver")}:
            yield _remark(node, "networks", f"the network of the host ({name})")
    for volume in node.each("volumes"):
        if why := of_path((volume.text or "").partition(":")[0] or volume.word("source") or ""):
            yield Remark(why, volume.path, volume.line)


def _remark(node: Node, key: str, detail: str) -> Remark:
    at = node.get(key) or node
    return Remark(detail, at.path, at.line)


def _isolation(node: Node, project: Project) -> Isolation | None:
    """Say whether every network of a service is internal; the host's own is another rule's."""
    mode = node.get("network_mode")
    if mode is None or mode.text in {None, "bridge", "default"}:
        return _of_networks(node, project)
    if mode.text == "none":
        return Isolation("passed", "has no network", mode.path, mode.line, by_host=True)
    if mode.text == "host":
        return None
    kind, _, other = (mode.text or "").partition(":")
    base = project.services.get(other) if kind == "service" else None
    if base is not None and base.get("network_mode") is None:
        return _of_networks(base, project)
    return Isolation("unknown", f"shares the network of {other or mode.text}", mode.path, mode.line, by_host=True)


def _networks(node: Node) -> list[str]:
    """Return the names of the networks that a service is on."""
    listed = node.get("networks")
    if listed is None or node.get("network_mode") is not None:
        return ["default"]
    names = list(listed.fields) if listed.fields is not None else [item.text or "" for item in listed.items or ()]
    return names or ["default"]


def _of_networks(node: Node, project: Project) -> Isolation:
    names = _networks(node)
    at = node.get("networks") or node
    known = {name: project.networks.get(name) for name in names}
    elsewhere = [name for name in names if _is_external(known[name])]
    leading_out = [
        name for name, network in known.items()
        if name not in elsewhere and (network is None or not network.is_true("internal"))
    ]  # fmt: skip
    if leading_out:
        detail = f"is on network {', '.join(leading_out)}, which is not internal"
        return Isolation("failed", detail, at.path, at.line, by_host=True)
    if elsewhere:
        detail = f"is on network {', '.join(elsewhere)}, which is made elsewhere"
        return Isolation("unknown", detail, at.path, at.line, by_host=True)
    detail = f"is on internal networks only ({', '.join(names)})"
    return Isolation("passed", detail, at.path, at.line, by_host=True)


def _is_external(network: Node | None) -> bool:
    external = network.get("external") if network is not None else None
    return external is not None and external.text not in {"false", "False", "no"}
