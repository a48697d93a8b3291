"""Turns the pods of a cluster into services, one a container: variables from wherever they come, mounts, privileges."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airgap_check.deployment.image_reference import parse
from airgap_check.deployment.privilege import of_capability, of_path
from airgap_check.deployment.service import Mount, Remark, Service, Variable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airgap_check.deployment.file import Files
    from airgap_check.deployment.kubernetes import Cluster, Pod
    from airgap_check.manifest import Node

_LISTS = ("containers", "initContainers", "ephemeralContainers")
_READ_ONLY_VOLUMES = ("configMap", "secret", "downwardAPI", "projected", "image")
_DEPENDENT = re.compile(r"\$(?:\$|\(([-._A-Za-z][-._A-Za-z0-9]*)\))")
_LENGTH = 1 << 16


def services(cluster: Cluster, files: Files) -> Iterator[Service]:
    """Yield every container of every pod."""
    peers = {space: cluster.peers(space) for space in {pod.namespace for pod in cluster.pods}}
    for pod in cluster.pods:
        first = True
        for key in _LISTS:
            for container in pod.spec.each(key):
                if container.fields is None:
                    files.note(container.path, container.line, f"{pod.title}: a container is no mapping")
                    continue
                service = _service(pod, container, cluster, files, with_pod=first)
                renamed = {
                    name.text.lower()
                    for one in pod.spec.each("hostAliases")
                    for name in one.each("hostnames")
                    if name.text
                }
                yield service._replace(peers=peers[pod.namespace] - renamed)
                first = False


def _service(pod: Pod, container: Node, cluster: Cluster, files: Files, *, with_pod: bool) -> Service:
    image, pull = container.get("image"), container.get("imagePullPolicy")
    variables, complete = _variables(pod, container, cluster, files)
    reference = parse(image.text) if image and image.text else None
    by_default = (
        "Always" if reference and not reference.digest and reference.tag in {None, "latest"} else "IfNotPresent"
    )
    pulled = pull or image or container
    remarks = [*_container_privileges(container), *(_pod_privileges(pod.spec) if with_pod else ())]
    return Service(
        kind="kubernetes",
        name=f"{pod.title} {container.word('name') or '?'}",
        image=image.text if image else None,
        pull_policy=pull.text if pull else by_default,
        builds=False,
        path=container.path,
        line=container.line,
        image_at=(image.path, image.line) if image else (container.path, container.line),
        pull_at=(pulled.path, pulled.line),
        command=tuple(item.text or "" for key in ("command", "args") for item in container.each(key)),
        directory=container.word("workingDir"),
        variables=tuple(variables),
        mounts=tuple(_mounts(pod.spec, container)),
        privileges=tuple(remarks),
        complete=complete and image is not None,  # without an image it is a patch of another file
    )


def _variables(pod: Pod, container: Node, cluster: Cluster, files: Files) -> tuple[list[Variable], bool]:
    """Return the variables in force, `env` over `envFrom` and later over earlier, and whether those are all."""
    found: dict[str, Variable] = {}
    complete = True
    for source in container.each("envFrom"):
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            name = source.word(key, "name")
            if name is None:
                continue
            values = cluster.find(kind, name, pod.namespace)
            if values is None:
                complete = False
                files.fail(f"{pod.title}: {kind} {name}, from which it takes variables, is not among the files")
                continue
            prefix = source.word("prefix") or ""
            for item, (text, node) in values.data.items():
                found[prefix + item] = Variable(
                    prefix + item, text, node.path, node.line, hidden=values.secret, inline=False
                )
    for entry in container.each("env"):
        variable = _variable(pod, entry, cluster, files)
        if variable:
            earlier = {name: one.text for name, one in found.items() if one.text is not None}
            full = variable.text if variable.text is None else _expanded(variable.text, earlier)
            found[variable.name] = variable._replace(text=full)
    return list(found.values()), complete


def _variable(pod: Pod, entry: Node, cluster: Cluster, files: Files) -> Variable | None:
    name, value = entry.word("name"), entry.get("value")
    if not name:
        return None
    if value is not None:
        if not value.is_text():
            detail = f"{name} of {pod.title} must be text for Kubernetes: write it in quotes"
            files.note(value.path, value.line, detail, column=value.column)
        return Variable(name, value.text or "", value.path, value.line)
    for kind, key in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
        reference = entry.get("valueFrom", key)
        if reference is None:
            continue
        source, item = reference.word("name") or "?", reference.word("key") or "?"
        values = cluster.find(kind, source, pod.namespace)
        if values and item in values.data:
            text, node = values.data[item]
            return Variable(name, text, node.path, node.line, hidden=values.secret, inline=False)
        if values and reference.is_true("optional"):
            return None
        return Variable(name, None, reference.path, reference.line, hidden=kind == "Secret", inline=False)
    if entry.get("valueFrom") is not None:  # fieldRef, resourceFieldRef: of the pod itself
        return None
    return Variable(name, "", entry.path, entry.line)


def _expanded(text: str, values: Mapping[str, str]) -> str:
    """Fill in ``$(NAME)`` by the variables before it; one that is not there stays as it stands."""
    filled = _DEPENDENT.sub(lambda found: values.get(found[1], found[0]) if found[1] else "$", text)
    return filled if len(filled) <= _LENGTH else text


def _mounts(spec: Node, container: Node) -> Iterator[Mount]:
    volumes = {volume.word("name"): volume for volume in spec.each("volumes")}
    for mount in container.each("volumeMounts"):
        target = mount.word("mountPath")
        volume = volumes.get(mount.word("name"))
        if target is None:
            continue
        read_only = mount.is_true("readOnly") or (volume is not None and _is_read_only(volume))
        yield Mount(target, not read_only, mount.path, mount.line)


def _is_read_only(volume: Node) -> bool:
    if any(volume.get(kind) is not None for kind in _READ_ONLY_VOLUMES):
        return True
    return any(volume.is_true(kind, "readOnly") for kind in ("persistentVolumeClaim", "nfs", "csi", "iscsi"))


def _container_privileges(container: Node) -> Iterator[Remark]:
    context = container.get("securityContext")
    if context is None:
        return
    if context.is_true("privileged"):
        node = context.get("privileged") or context
        yield Remark("privileged: true", node.path, node.line)
    for capability in context.each("capabilities", "add"):
        if why := of_capability(capability.text or ""):
            yield Remark(f"capability {capability.text} ({why})", capability.path, capability.line)


def _pod_privileges(spec: Node) -> Iterator[Remark]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.is_true(key):
            node = spec.get(key) or spec
            yield Remark(f"{key}: true", node.path, node.line)
    for volume in spec.each("volumes"):
        if why := of_path(volume.word("hostPath", "path") or ""):
            yield Remark(why, volume.path, volume.line)
