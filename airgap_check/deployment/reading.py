"""Reads deployment files of every kind together: which they are, what they describe, what there is to say of it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from airgap_check import manifest
from airgap_check.deployment import compose, dockerfile, network_policy, pod, unit
from airgap_check.deployment.compose_file import BASES, Project
from airgap_check.deployment.examination import check, examine, fetching, image_of, isolated, pinned, readable_secret
from airgap_check.deployment.file import Files, Listed
from airgap_check.deployment.kubernetes import Cluster
from airgap_check.deployment.product_service import settings_of, unknown_settings
from airgap_check.errors import UsageError
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airgap_check.deployment.service import Service
    from airgap_check.evidence import Setting
    from airgap_check.evidence.asset import Check, Image, Opening

_COMPOSE = re.compile(r"(?:docker-)?compose(?:[._-][\w.-]+)?\.ya?ml\Z", re.IGNORECASE)
_OVERRIDE = re.compile(r"(?:docker-)?compose\.override\.ya?ml\Z")
_MANIFEST = re.compile(r".+\.(?:ya?ml|json)\Z", re.IGNORECASE)
_DOCKERFILE = re.compile(r"(?:Docker|Container)file(?:[._-].+)?\Z|.+\.(?:docker|container)file\Z", re.IGNORECASE)
_KIND = re.compile(rb"^[ \t\-]*[\"']?kind[\"']?[ \t]*:", re.MULTILINE)
_KIND_IN_JSON = re.compile(rb"[{,]\s*\"kind\"\s*:")
_SERVICES = re.compile(rb"^[\"']?services[\"']?[ \t]*:", re.MULTILINE)
# In a folder, where CI and application files have services too: a mapping of them, with something to run.
_NAMED_SERVICES = re.compile(
    rb"^services[ \t]*:[ \t]*(?:#.*)?\r?\n(?:[ \t]*(?:#.*)?\r?\n)*[ \t]+[\w\"'.-]+[ \t]*:", re.MULTILINE
)
_RUNS = re.compile(rb"(?:^[ \t]+|[{,][ \t]*)(?:image|build|extends)[ \t]*:", re.MULTILINE)
_HELM = re.compile(rb"\{\{[^{}\n]{0,200}?(?:\.(?:Values|Release|Chart)\b|\b(?:include|template|toYaml) )")
_RECORDS = 20_000


class Reading(NamedTuple):
    """What was read. ``variables`` are all that compose files interpolate; ``files`` how many were understood.

    ``failures`` say why this is not everything, ``unknown`` are the given paths in which nothing was recognised.
    """

    services: tuple[Service, ...]
    settings: tuple[Setting, ...]
    checks: tuple[Check, ...]
    images: tuple[Image, ...]
    openings: tuple[Opening, ...]
    variables: frozenset[str]
    files: int
    failures: tuple[str, ...]
    unknown: tuple[str, ...] = ()


def read(
    paths: Sequence[str],
    deadline: float | None = None,
    *,
    within: str | None = None,
    standing: Mapping[str, bytes] | None = None,
) -> Reading:
    """Read files, and the recognisable files of folders. Raises `UsageError` for a path that does not exist.

    ``deadline`` is of the monotonic clock. Nothing outside of the folder ``within`` is opened, whatever a file names.
    ``standing`` are files that are not there yet, by path, which are read as if they were.
    """
    for path in paths:
        if not os.path.lexists(path):
            raise UsageError(f"{printable(path)}: no such file or folder")
    reader = _Reader(Files(deadline, within, standing))
    reader.take(paths)
    return reader.result(paths)


class _Reader:
    def __init__(self, files: Files) -> None:
        self._files = files
        self._cluster = Cluster(files)
        self._services: list[Service] = []
        self._checks: list[Check] = []
        self._openings: list[Opening] = []
        self._variables: set[str] = set()
        self._understood: set[str] = set()

    def take(self, paths: Sequence[str]) -> None:
        """Read everything."""
        listed = [one for one in self._files.find(list(paths)) if one.named or not self._is_bulk(one.path)]
        self._compose([one for one in listed if self._is_compose(one)])
        for one in listed:
            if one.path not in self._understood and _MANIFEST.match(os.path.basename(one.path)):
                self._manifest(one)
        units = [one.path for one in listed if _is_unit(one.path)]
        self._understood.update(path for path in units if not path.endswith(".image"))  # some are disks
        self._services += unit.services(units, self._files)
        for one in listed:
            if _DOCKERFILE.match(os.path.basename(one.path)):
                self._dockerfile(one.path)
        self._cluster.close()
        self._services += pod.services(self._cluster, self._files)
        self._policies()

    def _is_bulk(self, path: str) -> bool:
        """Tell whether a file is far larger than a deployment file and does not begin as one: an artifact, a dump."""
        name = os.path.basename(path)
        if _COMPOSE.match(name) or not _MANIFEST.match(name):
            return False
        head = self._files.head(path)
        return head is not None and b"apiVersion" not in head and not _SERVICES.search(head)

    def _is_compose(self, one: Listed) -> bool:
        name = os.path.basename(one.path)
        if _COMPOSE.match(name):
            return True
        if not _MANIFEST.match(name):
            return False
        content = self._files.read(one.path) or b""
        if _KIND.search(content):
            return False
        if one.named:
            return bool(_SERVICES.search(content))
        return bool(_NAMED_SERVICES.search(content) and _RUNS.search(content))

    def _compose(self, listed: Iterable[Listed]) -> None:
        """Read each project once: an override goes with its base, and an included file with who includes it."""
        paths = sorted((one.path for one in listed), key=lambda path: (os.path.basename(path) not in BASES, path))
        bases = {os.path.dirname(path) for path in paths if os.path.basename(path) in BASES}
        taken: set[str] = set()
        for path in paths:
            beside = _OVERRIDE.match(os.path.basename(path)) and os.path.dirname(path) in bases
            if os.path.normpath(path) in taken or beside or self._files.is_late():
                continue
            project = Project(self._files)
            project.load(path)
            taken.update(map(os.path.normpath, project.paths))
            self._understood.update(project.paths)
            found = list(compose.services(project, self._files))
            partial = [one._replace(complete=False, isolation=None) for one in found]
            self._services += partial if project.fragment else found
            self._variables |= project.variables
            self._checks += fetching(os.path.basename(path), project.remote, path)
            self._checks += _unset(project, path)
            for name, (one, source) in project.given.items():
                if name in project.variables:
                    self._checks += readable_secret(name, one.text or "", source, one.line)
            self._unknowable(project)

    def _unknowable(self, project: Project) -> None:
        for one in project.remote:
            self._files.fail(f"{one.path}: {one.detail}, which is not fetched")

    def _manifest(self, one: Listed) -> None:
        content = self._files.read(one.path)
        if content is None or b"apiVersion" not in content:
            return
        if not (_KIND.search(content) or _KIND_IN_JSON.search(content)):
            return
        parsed = manifest.parse(one.path, content)
        if (found := _HELM.search(content)) or (parsed.faults and b"{{" in content):
            line = content.count(b"\n", 0, found.start()) + 1 if found else parsed.faults[0].line
            self._understood.add(one.path)
            self._files.note(one.path, line, "a template; give what `helm template` makes of it", outcome="unknown")
            self._files.fail(f"{one.path}: a template cannot be read before it is rendered")
            return
        taken = [self._cluster.add(document) for document in parsed.documents]
        if not any(taken) and not parsed.faults:
            return
        self._understood.add(one.path)
        for line, column, message in parsed.faults:
            self._files.note(one.path, line, message, column=column)

    def _dockerfile(self, path: str) -> None:
        content = self._files.read(path)
        if content is None:
            return
        built = dockerfile.read(path, content.decode(errors="replace"))
        self._understood.add(path)
        if built is None:
            self._files.note(path, 1, "no FROM, and so no Dockerfile")
            return
        self._services.append(built.service)
        for base in built.bases:
            self._checks += pinned(f"base image {base.detail}", base.detail, base.path, base.line)
        self._checks += fetching(os.path.basename(path), built.fetches, path)

    def _policies(self) -> None:
        held, self._openings = network_policy.judged(self._cluster, self._files)
        for one, isolation in zip(self._cluster.pods, held, strict=False):  # fewer when the time was up
            self._checks.append(isolated(one.title, isolation))

    def result(self, paths: Sequence[str]) -> Reading:
        """Put everything together."""
        settings: list[Setting] = []
        images: list[Image] = []
        services = tuple(dict.fromkeys(self._services))
        for service in services:
            settings += settings_of(service)
            self._checks += examine(service)
            for reason in unknown_settings(service):
                self._files.fail(reason)
            image = image_of(service)
            images += [image] if image else []
            if len(settings) > _RECORDS or len(self._checks) > _RECORDS:
                self._files.fail(f"more than {_RECORDS} records")
                break
        if self._understood and not services and not self._cluster.policies:
            self._files.fail(f"{min(self._understood)}: nothing is described that would be started")
        malformed = [one for one in self._files.checks if one.outcome == "failed"]
        if malformed:
            first = malformed[0]
            self._files.fail(f"{len(malformed)} faults, such as {first.path}:{first.line or 1}: {first.detail}")
        elif self._understood:
            path = min(self._understood)
            more = f" and {len(self._understood) - 1} more" if len(self._understood) > 1 else ""
            fine = f"{os.path.basename(path)}{more}"
            self._checks.append(check("deployment-malformed", fine, "passed", "well formed", (path, None)))
        return Reading(
            services=services,
            settings=tuple(dict.fromkeys(settings[:_RECORDS])),
            checks=tuple(dict.fromkeys([*self._files.checks, *self._checks[:_RECORDS]])),
            images=tuple(dict.fromkeys(images)),
            openings=tuple(self._openings),
            variables=frozenset(self._variables),
            files=len(self._understood),
            failures=tuple(self._files.failures),
            unknown=tuple(path for path in paths if not self._knows(path)),
        )

    def _knows(self, path: str) -> bool:
        top = os.path.realpath(path)
        real = (os.path.realpath(known) for known in self._understood)
        return any(known == top or known.startswith(top.rstrip("/") + "/") for known in real)


def _is_unit(path: str) -> bool:
    folder = os.path.basename(os.path.dirname(path))
    drop_in = path.endswith(".conf") and folder.endswith(tuple(f"{suffix}.d" for suffix in unit.SUFFIXES))
    return path.endswith((*unit.SUFFIXES, ".network", ".image")) or drop_in


def _unset(project: Project, path: str) -> Iterable[Check]:
    """State which variables of a project nothing sets: the shell that starts compose decides them."""
    for one in project.unset.values():
        detail = "is set nowhere, and compose refuses to start without it" if one.required else "is set nowhere: blank"
        yield check("variable-unset", f"${{{one.name}}}", "failed", detail, (one.path, one.line))
    if not project.unset:
        subject = os.path.basename(path)
        yield check("variable-unset", subject, "passed", "every variable has a value or a default", (path, None))
