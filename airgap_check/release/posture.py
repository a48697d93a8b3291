"""Whether what is delivered would talk to the public control plane: the image by itself, the template, the services.

What a policy wants of `OS_CLOUD_URL` is not known here, so both readings are stated: that it is off, and that it is
unset. The rules take the one that the policy says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from airgap_check.objectos import settings
from airgap_check.redact import value
from airgap_check.release.remark import check
from airgap_check.release.template import CLOUD_URL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airgap_check.deployment import Reading
    from airgap_check.evidence.asset import Check, Outcome
    from airgap_check.release.runtime import Carried
    from airgap_check.release.template import Assigned, Template

Meaning = Literal["public", "offline", "unknown"]
_SHOWN = 100  # characters of a value


def meaning(carried: Sequence[Carried]) -> Meaning:
    """Say what the runtimes of a bundle make of an unset `OS_CLOUD_URL`: the worst of them."""
    meanings = {one.unset_means for one in carried} or {"unknown"}
    return next(one for one in _WORST if one in meanings)


_WORST: tuple[Meaning, ...] = ("public", "unknown", "offline")
_UNSET: dict[Meaning, Outcome] = {"public": "failed", "offline": "passed", "unknown": "unknown"}


def of_runtimes(carried: Sequence[Carried]) -> Check:
    """Say whether the runtimes stay offline without the variable: what a policy should demand rests on it."""
    means = meaning(carried)
    return check("unset-is-offline", CLOUD_URL, _UNSET[means], _consequence(means))


def of_image(carried: Carried) -> Check:
    """Say whether an image would be public if nobody told it anything."""
    text = dict(carried.image.environment).get(CLOUD_URL)
    posture = settings.posture(CLOUD_URL, text)
    outcome: Outcome = "failed"
    if posture == "disabled":
        outcome = "passed"
    elif posture == "unset":
        outcome = _UNSET[carried.unset_means]
    detail = f"the image {_says(text)}; {_consequence(carried.unset_means)}"
    return check("image-public-by-default", carried.subject, outcome, detail, path=carried.path, pointer=CLOUD_URL)


def of_template(template: Template, means: Meaning, reading: Reading) -> Iterator[Check]:
    """Say what each template that would start a runtime makes of the control plane, under both readings.

    One beside it that holds something else need not set the variable.
    """
    files = {path: variables for path, variables in template.files.items() if CLOUD_URL in variables}
    files |= {path: variables for path, variables in template.files.items() if _starts(variables)}
    composed = any(service.kind == "compose" for service in reading.services)
    for path, variables in (files or dict(list(template.files.items())[:1])).items():
        one = variables.get(CLOUD_URL)
        if one and one.is_quoted and not composed and settings.posture(CLOUD_URL, one.value) == "disabled":
            detail = f"{_says(one.value)} in quotes, which docker run --env-file would keep, and then it is an address"
            for reading_ in ("off", "unset"):
                yield check(f"template-cloud-url-{reading_}", CLOUD_URL, "unknown", detail, path=path, line=one.line)
            continue
        text, line = (one.value, one.line) if one else (None, None)
        yield from _both("template-cloud-url", path, text, means, line)


def _starts(variables: Mapping[str, Assigned]) -> bool:
    """Tell whether variables are enough to start a runtime: they name an artifact and a database."""
    roles = {known.role for name in variables if (known := settings.variable(name))}
    return {"artifact", "database"} <= roles


def of_deployment(reading: Reading, template: Template, means: Meaning) -> Iterator[Check]:
    """Say it of each service whose file sets the variable itself; what the template fills in is judged there."""
    filled = {variables[CLOUD_URL].value for variables in template.files.values() if CLOUD_URL in variables}
    for service in reading.services:
        for variable in service.variables:
            if variable.name != CLOUD_URL or variable.text is None:
                continue
            if variable.inline or variable.text not in filled:
                yield from _both("deployment-cloud-url", variable.path, variable.text, means, variable.line)


def _both(aspect: str, path: str, text: str | None, means: Meaning, line: int | None) -> Iterator[Check]:
    posture = settings.posture(CLOUD_URL, text)
    off: Outcome = "failed"
    if posture == "disabled":
        off = "passed" if means == "public" else "unknown"
    unset: Outcome = "failed"
    if posture == "unset":
        unset = _UNSET[means]
    detail = f"{_says(text)}; {_consequence(means)}"
    yield check(f"{aspect}-off", CLOUD_URL, off, detail, path=path, line=line)
    yield check(f"{aspect}-unset", CLOUD_URL, unset, detail, path=path, line=line)


def _says(text: str | None) -> str:
    if text is None:
        return "does not set OS_CLOUD_URL"
    return f'sets OS_CLOUD_URL to "{value(CLOUD_URL, text)[:_SHOWN]}"'


def _consequence(means: Meaning) -> str:
    return {
        "public": "its runtime takes unset and blank as the public control plane, and only off, none, local and "
        "disabled as off",
        "offline": "its runtime stays offline where the variable is unset",
        "unknown": "what its runtime makes of an unset one could not be told",
    }[means]
