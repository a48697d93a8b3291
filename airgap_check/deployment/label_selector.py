"""Matches labels with a Kubernetes label selector, and says it in words.

Source: the Kubernetes API reference, LabelSelector (meta/v1). An empty selector matches everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.deployment.kubernetes import labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airgap_check.manifest import Node


def matches(selector: Node | None, given: Mapping[str, str]) -> bool:
    """Tell whether every requirement holds; an operator that does not exist matches nothing."""
    if selector is None:
        return True
    if any(given.get(key) != text for key, text in labels(selector.get("matchLabels")).items()):
        return False
    return all(_holds(requirement, given) for requirement in selector.each("matchExpressions"))


def _holds(requirement: Node, given: Mapping[str, str]) -> bool:
    key = requirement.word("key") or ""
    values = {item.text for item in requirement.each("values")}
    match requirement.word("operator"):
        case "In":
            return given.get(key) in values and key in given
        case "NotIn":
            return given.get(key) not in values or key not in given
        case "Exists":
            return key in given
        case "DoesNotExist":
            return key not in given
        case _:
            return False


def words(selector: Node | None) -> str:
    """Describe a selector: ``app=db, tier in (a, b)``; nothing for one that takes everything."""
    if selector is None:
        return ""
    parts = [f"{key}={text}" for key, text in labels(selector.get("matchLabels")).items()]
    for requirement in selector.each("matchExpressions"):
        values = ", ".join(item.text or "" for item in requirement.each("values"))
        operator = (requirement.word("operator") or "?").lower()
        parts.append(" ".join(filter(None, (requirement.word("key"), operator, f"({values})" if values else ""))))
    return ", ".join(parts)
