"""A derived policy as text: every line says where it comes from, for a person who is to approve it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airgap_check.objectos.product import UNKNOWN
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airgap_check.evidence import Runtime, Setting
    from airgap_check.evidence.asset import Artifact, Package
    from airgap_check.policy import Policy


class Proposal(NamedTuple):
    """A derived policy with what it rests on: settings and runtimes, and the artifacts and packages that are there."""

    policy: Policy
    settings: Sequence[Setting] = ()
    runtimes: Sequence[Runtime] = ()
    artifacts: Sequence[Artifact] = ()
    packages: Sequence[Package] = ()


def to_yaml(proposal: Proposal) -> str:
    """Write a derived policy as the file that a person can review and approve.

    Where unset means the public control plane, or somebody has switched it off by word, absence is not what this
    deployment is to be held to.
    """
    policy = proposal.policy
    switched_off = any(one.name == "OS_CLOUD_URL" and one.posture == "disabled" for one in proposal.settings)
    meanings = {runtime.unset_means for runtime in proposal.runtimes}
    by_word = "public" in meanings or (switched_off and "offline" not in meanings)
    cloud_url = "must-be-off" if by_word else "must-be-unset"
    lines = [
        "# Derived by airgap-check init from this host's configuration. Review every line, then approve it.",
        "version: 1",
        "# approved: {by: your name, on: 2026-01-31}",
        "allow:" if policy.file.allow else "allow: []   # nothing was found: list what this deployment may reach",
    ]
    for entry in policy.file.allow:
        lines += [
            f"  - name: {_quoted(entry.name)}   # from {policy.sources.get(entry.name, '?')}",
            f"    role: {entry.role}",
            f"    host: {_quoted(str(entry.host))}" if entry.host else f"    cidr: {_quoted(str(entry.cidr))}",
        ]
        if entry.ports:
            lines.append(f"    ports: [{', '.join(str(port) for port in entry.ports)}]")
        if entry.protocol != "tcp":
            lines.append(f"    protocol: {entry.protocol}")
    lines += ["# inbound: []   # who may connect to what listens here; absent means not judged"]
    lines += _release(proposal)
    lines += [*_seen(proposal.runtimes), f"runtime: {{cloud_url: {cloud_url}, expected: true}}", ""]
    return "\n".join(lines)


def _release(proposal: Proposal) -> list[str]:
    """List the digests of what is installed; that they are those of the reviewed release is for a person to say."""
    artifacts = {f"sha256:{one.sha256}": one.path for one in proposal.artifacts if one.sha256}
    packages = {one.id: f"sha256:{one.sha256}" for one in proposal.packages if one.sha256}
    if not artifacts and not packages:
        return []
    lines = ["release:   # compare each digest with the bundle's before you approve it"]
    if artifacts:
        lines += ["  artifacts:", *(f"    - {digest}   # {printable(path)}" for digest, path in artifacts.items())]
    if packages:
        lines += ["  packages:", *(f"    {_quoted(name)}: {digest}" for name, digest in packages.items())]
    return lines


_MEANINGS = {
    "public": "an OS_CLOUD_URL that is unset means the public control plane",
    "offline": "an OS_CLOUD_URL that is unset means offline",
    "unknown": "it could not be told what an OS_CLOUD_URL that is unset means",
}


def _seen(runtimes: Iterable[Runtime]) -> list[str]:
    """Say in comments which runtimes were seen, and what each makes of an unset control plane."""
    lines = []
    for runtime in runtimes:
        known = runtime.product != UNKNOWN
        what = f"{runtime.product} {runtime.version or 'of an unknown version'}" if known else "of an unknown product"
        who = f"process {runtime.process.name or '?'}"
        if runtime.workload:
            who += f" of {runtime.workload.name}"
        lines.append(f"# {printable(f'{who}: {what}; {_MEANINGS[runtime.unset_means]}')}")
    return list(dict.fromkeys(lines)) or ["# No runtime was found: nobody could tell what an unset OS_CLOUD_URL means."]


def _quoted(text: str) -> str:
    """Quote text as a YAML double-quoted scalar, which JSON's strings are."""
    import json

    return json.dumps(text)
