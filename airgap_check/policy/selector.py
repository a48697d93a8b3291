"""Whom an entry is for: unit, container, image, pod, user or program, and never a name that anybody may take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.policy import Selector, many

if TYPE_CHECKING:
    from airgap_check.evidence import Allowed
    from airgap_check.evidence.fact import Process, Workload


def selects(
    selector: Selector, process: Process | None, workload: Workload | None, user: str | None, *, ownerless: bool = False
) -> Allowed:
    """Tell whether a selector chooses an owner; every part that is given must hold.

    A row whose owner the kernel itself has dropped (``ownerless``) is chosen by what is known of it, else by its
    address alone.
    """
    kind = workload.kind if workload else None
    unknown = (None,) if kind == "unknown" else ()
    facts: dict[str, tuple[str | None, ...]] = {
        # Only the outermost unit is root's to name: below user@1000.service a user may call his own what he likes.
        "unit": (workload.id, workload.id.partition("/")[0]) if workload and kind == "unit" else unknown,
        "container": (workload.id,) if workload and kind == "container" else unknown,
        "image": (workload.image,) if workload and kind == "container" else unknown,
        "pod": (workload.pod,) if workload and kind == "container" else unknown,
        "user": (user,) if user is not None else (None,),
        "exe": (process.executable,) if process else (None,),
    }
    answer: Allowed = "yes"
    for part, known in facts.items():
        wanted = many(getattr(selector, part))
        if part == "container":
            wanted = tuple(_short(identifier) for identifier in wanted)
        if not wanted or any(value in wanted for value in known if value is not None):
            continue
        if ownerless and (None in known or workload is None):
            continue
        if None not in known:
            return "no"
        answer = "unknown"
    return answer


def _short(identifier: str) -> str:
    """Return a container's id in the short form of our records, 12 digits, also when all 64 were written."""
    outer, slash, inner = identifier.rpartition("/")
    return f"{outer}{slash}{inner[:12]}" if len(inner) == 64 else identifier
