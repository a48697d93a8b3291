"""Knows what settings make a runtime dial: where absence leads, what a word switches off, and what is then silent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airgap_check.objectos import behaviour, catalogue
from airgap_check.objectos.endpoint import parse
from airgap_check.objectos.settings import JS_BLANK, variable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airgap_check.evidence import Setting
    from airgap_check.evidence.fact import Endpoint

# What tools of the command line dial, or nobody does; a server that never does is no surprise.
_NOT_DIALLED = frozenset({"registry", "metadata", "runtime-target", "own", "command-line-secret"})
# Where a setting is the command's own; what our environment and the units of this machine say is not given to it.
_GIVEN = frozenset({"process", "command-line", "file"})


class Expectation(NamedTuple):
    """A destination that a setting leads to; ``due`` where the server dials it as soon as it does what needs it."""

    setting: Setting
    end: Endpoint
    due: bool


class Silence(NamedTuple):
    """What a setting says is off: the destinations that may not be dialled, and the variables that then lead nowhere.

    ``stated`` is None where it is off because nobody said anything.
    """

    stated: Setting | None
    ends: tuple[Endpoint, ...]
    variables: frozenset[str]


def expectations(settings: Iterable[Setting]) -> Iterator[Expectation]:
    """Yield where the settings of one command lead, those of a variable that another one switches off not *due*."""
    given = [one for one in settings if one.place.kind in _GIVEN]
    silent = frozenset(name for silence in silences(given) for name in silence.variables)
    for setting in given:
        known = variable(setting.name)
        browsed = known.browser if known else ()
        for end in setting.endpoints:
            due = setting.role not in _NOT_DIALLED and setting.name not in silent and end.name not in browsed
            yield Expectation(setting, end, due and setting.read != "no")
        for end in _by_absence(setting):
            yield Expectation(setting, end, _means_public(setting))


def _by_absence(setting: Setting) -> tuple[Endpoint, ...]:
    """Return where a setting that says nothing leads; nowhere, where its product is known to be offline then."""
    known = variable(setting.name)
    absence = known and ((known.empty if setting.posture == "blank" else None) or known.unset)
    if not absence or not absence.public or setting.posture not in {"unset", "blank"} or "://" not in absence.means:
        return ()
    is_plane = setting.name == behaviour.OF_EACH
    if is_plane and behaviour.unset_means(setting.product, setting.version) == "offline":
        return ()
    return parse(absence.means)


def _means_public(setting: Setting) -> bool:
    is_plane = setting.name == behaviour.OF_EACH
    return is_plane and behaviour.unset_means(setting.product, setting.version) == "public"


def silences(settings: Iterable[Setting]) -> list[Silence]:
    """List what is switched off by a word, or by default, and by no other statement of the same switch on again."""
    given = [one for one in settings if one.place.kind in _GIVEN]
    return [*_of_switches(given), *_of_words(given)]


def _of_switches(given: list[Setting]) -> Iterator[Silence]:
    """Yield the switches that are off; names that mean the same are one switch."""
    families: dict[int, list[str]] = {}
    loaded = catalogue.load().variables
    for name, known in loaded.items():
        if known.switch:
            families.setdefault(id(known.switch), []).append(name)
    for names in families.values():
        known = loaded[names[0]]
        switch = known.switch
        assert switch is not None, names
        stated = [one for one in given if one.name in names and one.posture not in {"unset", "blank"}]
        off = [one for one in stated if one.posture == "disabled" or one.value.strip(JS_BLANK).lower() in switch.off]
        by_default = not stated and known.unset is not None and known.unset.means in switch.off
        if off and len(off) == len(stated):
            hosts = [end for named in known.implies.values() for host in named for end in parse(host)]
            led = [end for one in given if one.name in switch.of for end in one.endpoints]
            hosts += [end for name in switch.of if name in loaded for end in _implied(name)]
            yield Silence(off[0], tuple(dict.fromkeys((*hosts, *led))), frozenset((*names, *switch.of)))
        elif by_default:
            yield Silence(None, (), frozenset(switch.of))


def _implied(name: str) -> Iterator[Endpoint]:
    known = catalogue.load().variables[name]
    for hosts in known.implies.values():
        for host in hosts:
            yield from parse(host)


def _of_words(given: list[Setting]) -> Iterator[Silence]:
    """Yield the destinations of variables that hold a disabling word, where none of the same name holds another."""
    for name in dict.fromkeys(one.name for one in given if one.posture == "disabled"):
        known = variable(name)
        alike = [one for one in given if one.name == name]
        if known is None or known.switch or any(one.posture != "disabled" for one in alike):
            continue
        means = known.unset.means if known.unset and known.unset.public else ""
        yield Silence(alike[0], parse(means) if "://" in means else (), frozenset({name}))
