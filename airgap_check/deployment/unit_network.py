"""Says of a unit, or of a quadlet, what takes it out of its own network, and whether a network holds it.

Source: systemd.exec(5), systemd.resource-control(5) (IPAddressDeny=), podman-systemd.unit(5).
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.deployment import engine_command
from airgap_check.deployment.privilege import of_capability, of_path
from airgap_check.deployment.service import Isolation, Remark
from airgap_check.objectos import unit_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

TRUE = frozenset({"1", "yes", "true", "on", "y", "t"})
_SPACES = frozenset({"network", "net", "pid", "ipc", "uts", "userns", "cgroupns"})
_OPEN_NETWORKS = frozenset({"bridge", "default", "podman", "slirp4netns", "pasta", "private"})


class Line(NamedTuple):
    """One directive of a unit and the file that it stands in."""

    key: str
    value: str
    path: str
    line: int


def last(lines: list[Line], key: str) -> Line | None:
    """Return the directive that counts where the last one does."""
    return next((line for line in reversed(lines) if line.key == key), None)


def privileges(lines: list[Line], told: engine_command.Told | None) -> Iterator[Remark]:
    """Yield what lets a unit, or the container that it starts, out of its network."""
    for line in lines:
        if line.key == "Network" and line.value.partition(":")[0] == "host":
            yield Remark("Network=host", line.path, line.line)
        elif line.key in {"AddCapability", "AmbientCapabilities"}:
            for capability in line.value.split():
                if why := of_capability(capability):
                    yield Remark(f"{line.key}={capability} ({why})", line.path, line.line)
        elif line.key == "Volume" and (why := of_path(line.value.partition(":")[0])):
            yield Remark(why, line.path, line.line)
        elif line.key == "PodmanArgs":
            given = engine_command.options(unit_file.words(line.value))
            yield from (Remark(found, line.path, line.line) for found in _of_options(given))
    started = last(lines, "ExecStart")
    if told and started:
        yield from (Remark(found, started.path, started.line) for found in _of_options(told.options))


def _of_options(given: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Say which options of an engine take a container out of its own network."""
    for name, value in given:
        if name == "privileged" and value in {"", "true"}:
            yield "--privileged"
        elif name in _SPACES and value == "host":
            yield f"--{name} host"
        elif name == "cap-add" and (why := of_capability(value)):
            yield f"--cap-add {value} ({why})"
        elif name == "volume" and (why := of_path(value.partition(":")[0])):
            yield why
        elif name == "mount":
            fields = dict(part.partition("=")[::2] for part in value.split(","))
            if why := of_path(fields.get("source", fields.get("src", ""))):
                yield why


def of_unit(lines: list[Line]) -> Isolation | None:
    """Say that a unit may send nowhere but to what it names; a unit without a word about it is the host's business."""
    private = last(lines, "PrivateNetwork")
    if private and private.value.lower() in TRUE:
        return Isolation("passed", "has a network of its own with loopback only", private.path, private.line)
    denied, allowed = _listed(lines, "IPAddressDeny"), _listed(lines, "IPAddressAllow")
    if not denied or not _is_everything(denied):
        return None
    final = denied[-1]
    if _is_everything(allowed, of_one_family=True):
        return Isolation("failed", "denies every address and then allows every address", final.path, final.line)
    named = ", ".join(word for line in allowed for word in line.value.split())
    return Isolation("passed", f"may send to {named or 'nobody'} only", final.path, final.line)


def _listed(lines: list[Line], key: str) -> list[Line]:
    """Return the directives of a list that are in force: an empty one takes back those before it."""
    found: list[Line] = []
    for line in lines:
        if line.key == key:
            found = [*found, line] if line.value else []
    return found


def _is_everything(lines: list[Line], *, of_one_family: bool = False) -> bool:
    """Tell whether a list of addresses holds all of both families, or of one of them."""
    held: dict[int, float] = {4: 0.0, 6: 0.0}
    for word in {word for line in lines for word in line.value.split()}:
        if word == "any":
            return True
        try:
            network = ip_network(word, strict=False)
        except ValueError:  # one of systemd's own words: localhost, link-local, multicast
            continue
        held[network.version] += 2.0**-network.prefixlen
    full = [share >= 1 for share in held.values()]
    return any(full) if of_one_family else all(full)


def of_command(told: engine_command.Told, at: Line) -> Isolation | None:
    """Say whether the network of a container that a unit starts keeps it inside."""
    names = [value.partition(":")[0] for value in told.all("network", "net")] or ["default"]
    if "host" in names:
        return None
    if names == ["none"]:
        return Isolation("passed", "has no network", at.path, at.line, by_host=True)
    if leading_out := [name for name in names if name in _OPEN_NETWORKS]:
        detail = f"is on network {', '.join(leading_out)}, which is not internal"
        return Isolation("failed", detail, at.path, at.line, by_host=True)
    return Isolation("unknown", f"is on {', '.join(names)}, which is made elsewhere", at.path, at.line, by_host=True)


def of_quadlet(lines: list[Line], internal: Mapping[str, bool]) -> Isolation | None:
    """Say whether every network of a quadlet is internal; ``internal`` are those among the files."""
    networks = [line for line in lines if line.key == "Network" and line.value]
    if any(line.value.partition(":")[0] == "host" for line in networks) or last(lines, "Pod"):
        return None  # a rule of its own; the pod's
    if not networks:
        first = lines[0]
        detail = "is on the default network, which is not internal"
        return Isolation("failed", detail, first.path, first.line, by_host=True)
    for line in networks:
        name = line.value.partition(":")[0]
        if name == "none" or internal.get(name):
            continue
        if name.endswith(".network") and name not in internal:
            detail = f"is on {name}, which is not among the files"
            return Isolation("unknown", detail, line.path, line.line, by_host=True)
        return Isolation("failed", f"is on {name}, which is not internal", line.path, line.line, by_host=True)
    return Isolation("passed", "is on internal networks only", networks[0].path, networks[0].line, by_host=True)
