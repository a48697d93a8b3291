"""Nothing that a host or its owner wrote survives, wherever it stands and in whatever it is rendered."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote

import msgspec
import pytest

from airgap_check import pseudonyms, recording, reporters
from airgap_check.address import parse
from airgap_check.finding import Report
from airgap_check.pseudonyms.token import TOKEN
from tests.canary import Planting

KEY = pseudonyms.Key(bytes(range(32)))
CANARIES = {
    "a word": lambda n: f"zanzibarcorp{n}",
    "mixed case": lambda n: f"ZanziBar{n}Corp",
    "words with blanks": lambda n: f"Zanzibar Trading {n} Quuxville",
    "a compound": lambda n: f"core-zanzibar{n}-gateway",
    "an IPv4 address": lambda n: f"10.77.{n // 250 + 3}.{n % 250 + 3}",
    "a public IPv4 address": lambda n: f"93.184.{n // 250 + 3}.{n % 250 + 3}",
    "an IPv4 address with a port": lambda n: f"10.77.{n // 250 + 3}.{n % 250 + 3}:5432",
    "an IPv4 network": lambda n: f"10.{n // 250 + 77}.{n % 250 + 3}.0/24",
    "an IPv6 address": lambda n: f"fd77:beef:{n:x}::{n:x}",
    "an IPv6 address in a URL": lambda n: f"https://[2a07:beef:{n:x}::{n:x}]:8443/x",
    "a wrapped address": lambda n: f"64:ff9b::10.77.{n // 250 + 3}.{n % 250 + 3}",
    "an address as one number": lambda n: str(167772160 + 77 * 65536 + n),
    "an address in octal": lambda n: f"012.077.0{n % 8}.03{n}",
    "an address as a label": lambda n: f"ip-10-77-{n // 250 + 3}-{n % 250 + 3}.ec2.internal",
    "a reversed address": lambda n: f"{n % 250 + 3}.{n // 250 + 3}.77.10.in-addr.arpa",
    "a hardware address": lambda n: f"02:77:be:ef:{n // 250 + 16:02x}:{n % 250 + 3:02x}",
    "a hardware address like words": lambda n: f"{n % 90 + 10}-be-{n // 90 + 10}-be-10-be",
    "a host name": lambda n: f"db{n}.zanzibar{n}.example",
    "a public host name": lambda n: f"API.Zanzibar{n}.com.",
    "a name of words of ours": lambda n: f"database.core{n}zz.example",
    "a wildcard": lambda n: f"*.zanzibar{n}.example",
    "a name beyond ASCII": lambda n: f"zänzibar{n}.example",
    "a mail address": lambda n: f"alice.zanzibar{n}@quux{n}.example",
    "a path": lambda n: f"/home/zanzibar{n}/My Files/plan{n}quux.yaml",
    "a URL": lambda n: f"postgresql://zanzibar{n}:hunter{n}zz@quux{n}.example:5432/ledger{n}zz?owner=carol{n}#frag{n}",
    "an image": lambda n: f"registry.zanzibar{n}.example:5000/team{n}zz/app{n}zz:v1-quux{n}@sha256:{'ab' * 32}",
    "a command line": lambda n: f"node /srv/zanzibar{n}/server.js --tenant quux{n} --name=ledger{n}zz",
    "a secret": lambda n: f"sk_live_{n:04}AbCdEf{n:04}GhIjKl",
    "an emoji": lambda n: f"\N{ROCKET}{n}\N{PILE OF POO}",
    "percent-encoded": lambda n: f"%7a%61%6e%7a%69%62%61%72{n}%21",
    "base64": lambda n: base64.b64encode(f"zanzibar{n}corp".encode()).decode(),
    "a sentence of ours": lambda n: f"zanzibar{n} was not reached: (quux{n}) in /srv/ledger{n}zz, owner=carol{n}zz!",
}  # fmt: skip
# What may be left of a canary: words of ours, and what is found in everybody's names, paths and URLs.
_HARMLESS = """
    node server home yaml https postgresql example internal addr arpa reached owner name tenant core gateway trading
    files database
"""
HARMLESS = frozenset(_HARMLESS.split())
_TELLING = re.compile(r"[^\W\d_]{5,}|[0-9a-fA-F.:]{7,}|[\U0001f000-\U0001ffff]")


def telling(canary: str) -> set[str]:
    """Return what must not be found of a canary: itself, and each part that tells anything, encoded or not."""
    found = set(_TELLING.findall(canary))
    words = {part for part in found if part.isalpha() and part.lower() not in HARMLESS}
    addresses = {str(address) for part in found for end in (part, part.rpartition(":")[0]) if (address := parse(end))}
    marks = {part for part in found if not part.isascii()}
    return words | addresses | marks | {form for text in (canary, *words) for form in forms(text)}


def forms(text: str) -> set[str]:
    content = text.encode()
    return {text, quote(text), quote(text, safe=""), base64.b64encode(content).decode()[: len(content) * 8 // 6]}


def outputs(planting: Planting) -> dict[str, str]:
    report = pseudonyms.pseudonymize(planting.report(), KEY)
    inspection = pseudonyms.pseudonymize_inspection(planting.inspection(), KEY)
    shown = {name: reporters.render(name, report) for name in reporters.FORMATS}
    shown["recording"] = b"".join(recording.write(inspection)).decode()
    return shown


@pytest.mark.parametrize("kind", CANARIES)
def test_no_canary_survives_in_any_field_of_any_format(kind: str) -> None:
    planting = Planting(CANARIES[kind])
    shown = outputs(planting)
    # Tokens are ciphertext, in which any few letters may stand; another test opens them.
    texts = {name: TOKEN.sub("", text).lower() for name, text in shown.items()}
    # What is beyond ASCII is written as escapes where a format has those.
    texts |= {f"{name} (decoded)": _decoded(text).lower() for name, text in texts.items() if "\\u" in text}
    parts: dict[str, set[str]] = {}
    for canary, place in planting.places.items():
        for part in telling(canary):
            parts.setdefault(part.lower(), set()).add(place)
    survivors = {
        (part, name, *places) for part, places in parts.items() for name, text in texts.items() if _found(part, text)
    }
    assert not survivors


def _decoded(text: str) -> str:
    return text.encode().decode("unicode_escape", errors="replace")


def _found(part: str, text: str) -> bool:
    """Tell whether a part stands there, and is not the end or the beginning of a longer number."""
    at = text.find(part)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(part) : at + len(part) + 1]
        if not ((before.isdigit() and part[0].isdigit()) or (after.isdigit() and part[-1].isdigit())):
            return True
        at = text.find(part, at + 1)
    return False


@pytest.mark.parametrize("kind", CANARIES)
def test_what_is_hidden_is_still_a_report_and_a_recording(kind: str) -> None:
    planting = Planting(CANARIES[kind])
    shown = outputs(planting)
    assert msgspec.json.decode(shown["json"], type=Report).verdict == "compliant"
    lines = [line.encode() + b"\n" for line in shown["recording"].splitlines()]
    read = recording.parse("hidden.jsonl", lines)
    assert {evidence.kind for evidence in read.evidence} == {
        evidence.kind for evidence in planting.inspection().evidence
    }


def test_canaries_stand_in_every_string_of_a_report() -> None:
    planting = Planting(lambda number: f"canary{number}")
    written = msgspec.json.encode(planting.report()).decode()
    lost = {place for canary, place in planting.places.items() if f'"{canary}"' not in written}
    # What a view says of a record stands over what the record says.
    assert all(".record." in place for place in lost)
    assert len(planting.places) - len(lost) > 400
