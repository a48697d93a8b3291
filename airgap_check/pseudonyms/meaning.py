"""What the fields of reports and records hold, as far as it is not a text of ours, which is what any other field is.

A new field is a text until it is named here: only words that this tool knows survive in it.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

import msgspec

from airgap_check.evidence import AnyRecord
from airgap_check.view import KINDS

Meaning = Literal[
    "text",         # a sentence, or a word, of ours that may speak of the host
    "foreign",      # what a host wrote: an address, a path, a command line, a URL, a reference, a version
    "host",         # a host's name
    "name",         # what something on the host is called, by whoever made it
    "label",        # what the owner calls something, in his words
    "argument",     # a word of our own command line
    "digest",       # of bytes that come from elsewhere: whoever has them may compare
    "guessable",    # a digest of what the owner wrote, which may be little enough to be tried out
    "fingerprint",  # of a finding: a digest of what is hidden
    "acceptance",   # why a finding does not fail: a waiver in its owner's words, or a baseline in ours
]  # fmt: skip

_FOREIGN: Final = """
    Process.executable Process.command Workload.id Workload.image Workload.pod Endpoint.address Endpoint.inner
    Place.path Setting.value Setting.product Setting.version Runtime.product Runtime.version Runtime.image
    Runtime.artifact Resolver.address Answer.server PolicyTrust.path Artifact.path Artifact.version Artifact.protocol
    Reference.path Reference.pointer Reference.text Check.path Check.pointer Package.version Package.path
    Image.reference Image.path Opening.network Opening.ports Opening.path Subject.kernel ReportSubject.kernel
    PolicyReference.path ReportedPolicy.path ReportedBaseline.path Tool.name Tool.version PolicyNetworkView.network
    .network Opening.peer Encounter.request Encounter.opening Encounter.ended Encounter.trigger Visit.label
    Reached.addresses Reached.requests Reached.openings Reached.ended Occasion.trigger
"""
_HOST: Final = """
    Endpoint.name Question.name Question.asked Request.name Resolver.search Answer.name Answer.chain Subject.hostname
    ReportSubject.hostname ReportedBaseline.hostname Encounter.name
"""
_NAME: Final = """
    Process.name Process.user Connection.user Question.user Request.user Listener.user Workload.name Place.unit
    Check.subject Package.id Opening.subject Run.sudo_user Reached.who
"""
_LABEL: Final = """
    EntryUse.entry Artifact.name Probe.entry Subject.machine_id_hash ReportSubject.machine_id_hash Subject.boot_id
    ReportSubject.boot_id ReportedEntry.name ReportedPolicy.approved .name .reason .owner
"""
_DIGEST: Final = """
    Runtime.digest Package.sha256 Package.file_sha256 Image.id Image.digest Tool.sha256
"""
_GUESSABLE: Final = """
    Artifact.sha256 PolicyReference.sha256 Inspection.filtered_by Report.rules_sha256 ReportedPolicy.sha256
    ReportedBaseline.sha256
"""
_TABLES: tuple[tuple[Meaning, str], ...] = (
    ("foreign", _FOREIGN), ("host", _HOST), ("name", _NAME), ("label", _LABEL), ("digest", _DIGEST),
    ("guessable", _GUESSABLE),
    ("argument", "Run.argv"), ("fingerprint", "Finding.fingerprint Known.fingerprint"),
    ("acceptance", "Finding.waived_by"),
)  # fmt: skip
_MEANINGS: dict[str, Meaning] = {field: meaning for meaning, fields in _TABLES for field in fields.split()}
NAMING: frozenset[Meaning] = frozenset({"name", "label", "host", "foreign"})
# The parts of a record, where it has become a plain mapping.
PARTS = {
    "process": "Process", "workload": "Workload", "local": "Endpoint", "remote": "Endpoint", "server": "Endpoint",
    "endpoint": "Endpoint", "endpoints": "Endpoint", "addresses": "Endpoint", "place": "Place",
}  # fmt: skip
_TEXTLESS = (int, float, bool, datetime)
RECORDS: dict[str, str] = {one.__struct_config__.tag: one.__name__ for one in get_args(AnyRecord)}


@cache
def meaning(structure: str, field: str) -> Meaning:
    """Say what a field holds; a mapping that is no record has no name."""
    return _MEANINGS.get(f"{structure}.{field}", "text")


@cache
def naming(structure: str) -> tuple[tuple[str, Meaning], ...]:
    """List the fields of a record in which something is called by its name."""
    places = ((place.partition("."), what) for place, what in _MEANINGS.items() if what in NAMING)
    return tuple((field, what) for (owner, _, field), what in places if owner == structure)


@cache
def fields(structure: type[msgspec.Struct]) -> tuple[tuple[str, Meaning], ...]:
    """List the fields of a structure that may hold text, with what that is."""
    return tuple(
        (field.name, meaning(structure.__name__, field.name))
        for field in msgspec.structs.fields(structure)
        if not _words(field.type) and _members(field.type)[0] not in _TEXTLESS
    )


@cache
def listed() -> dict[str, frozenset[str]]:
    """Return for each name of a field the words that types list for it, so that they are known in a plain mapping."""
    found: dict[str, set[str]] = {}
    for structure in (*get_args(AnyRecord), *(view for view, _ in KINDS.values()), *_parts()):
        for field in msgspec.structs.fields(structure):
            found.setdefault(field.name, set()).update(_words(field.type))
    found["kind"] |= RECORDS.keys()
    return {name: frozenset(words) for name, words in found.items()}


def _parts() -> tuple[type[msgspec.Struct], ...]:
    from airgap_check.evidence import fact

    return (fact.Process, fact.Workload, fact.Endpoint, fact.Place)


def _members(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)


def _words(kind: Any) -> set[str]:
    """Return the words that a type lists; none when it allows any."""
    members = [one for one in _members(kind) if one is not type(None)]
    if not all(get_origin(one) is Literal for one in members):
        return set()
    return {word for one in members for word in get_args(one) if isinstance(word, str)}
