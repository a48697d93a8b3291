"""Reads Kubernetes manifests: workloads and what they run, ConfigMaps and Secrets, which resources are fetched.

Source: the Kubernetes API reference (core/v1, apps/v1, batch/v1). A namespace that is not written is that of whoever
applies the file.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airgap_check.deployment.file import Files
    from airgap_check.manifest import Node

# kind -> where its pod stands
_PODS: dict[str, tuple[str, ...]] = {
    "Pod": (),
    "PodTemplate": ("template",),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
FOREIGN_POLICIES = frozenset({
    "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy",
    "ClusterNetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy", "EgressFirewall", "EgressNetworkPolicy",
})  # fmt: skip
# kind -> why what it deploys is not read
_ELSEWHERE = {
    "Kustomization": "a kustomization changes what lies beside it; give what `kubectl kustomize` writes",
    "Component": "a kustomization changes what lies beside it; give what `kubectl kustomize` writes",
    "HelmRelease": "deploys a chart; give what `helm template` makes of it",
    "HelmChart": "deploys a chart; give what `helm template` makes of it",
    "Application": "deploys what a repository holds; give what it renders to",
    "ApplicationSet": "deploys what a repository holds; give what it renders to",
}
_DELIVERING = ("kustomize.config.k8s.io", "fluxcd.io", "cattle.io", "argoproj.io")
_ITEMS = 10_000


class Pod(NamedTuple):
    """A workload with a pod; ``namespace`` is None where none is written. ``labels`` are those of its pods."""

    kind: str
    name: str
    namespace: str | None
    labels: dict[str, str]
    spec: Node
    node: Node

    @property
    def title(self) -> str:
        """Return kind and name."""
        return f"{self.kind}/{self.name}"


class Values(NamedTuple):
    """The data of a ConfigMap or Secret, with the node of each."""

    data: dict[str, tuple[str, Node]]
    secret: bool


class Cluster:
    """What a set of manifests describes, taken together."""

    def __init__(self, files: Files) -> None:
        """Start empty; `add` fills it."""
        self._files = files
        self._count = 0
        self._podless: list[Node] = []
        self._is_patched = False
        self.pods: list[Pod] = []
        self.policies: list[Node] = []
        self.foreign: list[Node] = []
        self.values: dict[tuple[str, str], list[tuple[str | None, Values]]] = {}
        self.doors: list[tuple[str, str | None]] = []  # Services: name and namespace

    def add(self, document: Node) -> bool:
        """Take one object, or every object of a List; tells whether it was one."""
        if document.fields is None or document.word("kind") is None or document.word("apiVersion") is None:
            return False
        for node in _flattened(document):
            self._count += 1
            if self._count > _ITEMS:
                self._files.fail(f"more than {_ITEMS} Kubernetes objects")
                break
            self._add(node)
        return True

    def _add(self, node: Node) -> None:
        kind = node.word("kind") or ""
        name = node.word("metadata", "name") or node.word("metadata", "generateName") or "?"
        namespace = node.word("metadata", "namespace")
        where = _PODS.get(kind)
        if where is None and node.each("spec", "template", "spec", "containers"):
            where = ("spec", "template")  # of another API: a Rollout, a DeploymentConfig, a Knative Service
        if where is not None:
            self._add_pod(name, namespace, node, where)
        elif kind == "Service" and node.get("spec", "selector") is not None:
            # Without a selector, or as an ExternalName, it may stand for anything outside.
            if node.word("spec", "type") != "ExternalName":
                self.doors.append((name.lower(), namespace))
        elif kind in {"ConfigMap", "Secret"}:
            held = (namespace, Values(dict(_data(node, self._files)), kind == "Secret"))
            self.values.setdefault((kind, name), []).append(held)
        elif kind == "NetworkPolicy" and (node.word("apiVersion") or "").startswith("networking.k8s.io/"):
            self.policies.append(node)
        elif kind in FOREIGN_POLICIES or kind == "NetworkPolicy":
            self.foreign.append(node)
        elif kind in _ELSEWHERE and (node.word("apiVersion") or "").partition("/")[0].endswith(_DELIVERING):
            self._is_patched = self._is_patched or kind in {"Kustomization", "Component"}
            self._files.note(node.path, node.line, f"{kind}: {_ELSEWHERE[kind]}", outcome="unknown")
            self._files.fail(f"{node.path}: what {kind}/{name} makes of it is not read")

    def _add_pod(self, name: str, namespace: str | None, node: Node, where: tuple[str, ...]) -> None:
        pod = node.get(*where) if where else node
        spec = pod.get("spec") if pod else None
        if pod is None or spec is None or spec.fields is None:
            self._podless.append(node)
            return
        kind = node.word("kind") or "?"
        self.pods.append(Pod(kind, name, namespace, labels(pod.get("metadata", "labels")), spec, node))

    def close(self) -> None:
        """Say which workloads have no pod, once all is read: beside a kustomization they are patches."""
        for node in () if self._is_patched else self._podless:
            detail = f"{node.word('kind')}/{node.word('metadata', 'name')} has no pod"
            self._files.note(node.path, node.line, detail, column=node.column)

    def peers(self, namespace: str | None) -> frozenset[str]:
        """Return the names by which a pod of a namespace reaches the Services among the files."""
        found: set[str] = set()
        for name, where in self.doors:
            if where == namespace:
                found.add(name)
            space = where or "default"
            found |= {f"{name}.{space}{tail}" for tail in ("", ".svc", ".svc.cluster.local")}
        return frozenset(found)

    def find(self, kind: str, name: str, namespace: str | None) -> Values | None:
        """Return a ConfigMap or Secret as a pod of a namespace would find it; None where it is not among the files."""
        held = self.values.get((kind, name), [])
        exact = [values for where, values in held if where == namespace]
        loose = [values for where, values in held if where is None or namespace is None]
        return next(iter([*exact, *loose]), None)


def _flattened(document: Node) -> Iterator[Node]:
    kind = document.word("kind") or ""
    if kind == "List" or (kind.endswith("List") and document.get("items") is not None):
        for item in document.each("items"):
            if item.fields is not None:
                yield from _flattened(item)
    else:
        yield document


def labels(node: Node | None) -> dict[str, str]:
    """Return labels as a plain mapping."""
    if node is None or node.fields is None:
        return {}
    return {key: value.text for key, value in node.fields.items() if value.text is not None}


def _data(node: Node, files: Files) -> Iterable[tuple[str, tuple[str, Node]]]:
    secret = node.word("kind") == "Secret"
    for key, value in node.pairs("data").items():
        text = value.text or ""
        if secret:
            try:
                text = base64.b64decode(text.strip().encode(), validate=True).decode(errors="replace")
            except (binascii.Error, ValueError):
                name = node.word("metadata", "name")
                files.note(value.path, value.line, f"data.{key} of Secret {name} is not base64", column=value.column)
                continue
        yield key, (text, value)
    if secret:
        for key, value in node.pairs("stringData").items():
            yield key, (value.text or "", value)
