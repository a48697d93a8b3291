"""Whether a runtime would find what it must be told: in the template, in its image, or in the file that deploys it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.deployment.product_service import product_of
from airgap_check.objectos import behaviour, product
from airgap_check.release.remark import check
from airgap_check.release.template import CLOUD_URL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airgap_check.deployment import Reading
    from airgap_check.evidence.asset import Check
    from airgap_check.release.runtime import Carried
    from airgap_check.release.template import Template

# Of whoever starts compose; no template has them.
_SHELL = frozenset({"PWD", "HOME", "USER", "UID", "GID", "HOSTNAME"})
_MOST = 50  # variables that are told one by one


def incomplete(template: Template, carried: Sequence[Carried], reading: Reading) -> Iterator[Check]:
    """Say which variables a template lacks; the control plane's is judged by its posture."""
    failed = 0
    for name, role, names in _wanted(carried):
        if not any(_is_told(one, template, carried, reading) for one in names):
            failed += 1
            detail = f"no variable tells the runtime its {role}; {name} does"
            yield check("template-complete", name, "failed", detail, path=template.paths[0])
    for name in sorted(_blank(reading) - template.variables.keys() - _SHELL)[:_MOST]:
        if not name.startswith("COMPOSE_"):
            failed += 1
            detail = f"a compose file uses ${{{name}}}, and the template does not have it"
            yield check("template-complete", name, "failed", detail, path=template.paths[0])
    if not failed:
        yield check("template-complete", "template", "passed", "has all that is needed", path=template.paths[0])


def _wanted(carried: Sequence[Carried]) -> list[tuple[str, str, frozenset[str]]]:
    """List what each runtime must be told, once."""
    known = [(one.product, one.version) for one in carried] or [(product.UNKNOWN, None)]
    found = (wanted for one in known for wanted in behaviour.expected(*one))
    return list(dict.fromkeys(wanted for wanted in found if wanted[0] != CLOUD_URL))


def _is_told(name: str, template: Template, carried: Sequence[Carried], reading: Reading) -> bool:
    """Tell whether a variable stands in the template, even blank to be filled in, or has a value elsewhere."""
    if name in template.variables or any(dict(one.image.environment).get(name, "").strip() for one in carried):
        return True
    return any(
        one.name == name and (one.text is None or one.text.strip())
        for service in reading.services
        for one in service.variables
    )


def _blank(reading: Reading) -> set[str]:
    """Name the variables of compose files that nothing sets and that have no default."""
    return {
        one.subject.strip("${}")
        for one in reading.checks
        if one.aspect == "variable-unset" and one.outcome == "failed" and one.subject.startswith("${")
    }


def databases(carried: Carried, template: Template | None, reading: Reading) -> list[str]:
    """Return the URLs of databases that a runtime may be told, wherever they stand."""
    expected = behaviour.expected(carried.product, carried.version)
    names = {name for _, role, names in expected if role == "database" for name in names}
    told = list(template.values(names)) if template else []
    for service in reading.services:
        if product_of(service):
            told += [one.text for one in service.variables if one.name in names and one.text and one.text.strip()]
    told += [text for name, text in carried.image.environment if name in names and text.strip()]
    return list(dict.fromkeys(told))
