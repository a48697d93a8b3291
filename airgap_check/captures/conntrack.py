"""Reads what conntrack(8) prints: ``-L`` and ``-E``, with ``-o extended``, ``timestamp`` or ``id``, IPv4 and IPv6.

The kernel's own list, /proc/net/nf_conntrack, is the extended form. The first tuple of a line is the flow as it began;
where the second is not its mirror image, addresses were translated, and the flow went on to somebody else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airgap_check.captures import line as value
from airgap_check.captures import log
from airgap_check.captures.line import MalformedError

if TYPE_CHECKING:
    from airgap_check.captures.tally import Tally

_STAMP = re.compile(r"\[(\d{1,12}\.\d{1,9})\s*\]\s*")
_EVENT = re.compile(r"\s*\[(NEW|UPDATE|DESTROY)\]\s*")
_FLOW = re.compile(r"\s*(?:ipv[46]\s+\d+\s+)?([a-z][a-z0-9_-]{0,15})\s+(\d{1,3})\s+(?:\d{1,10}\s+)?")
_STATE = re.compile(r"[A-Z][A-Z0-9_]{0,23}$")
_NOT_A_FLOW = ("conntrack v", "#")
_BOTH = 2


def recognises(line: bytes) -> bool:
    """Tell whether a line is one of conntrack's."""
    text = line[:2000].decode("latin-1")
    rest = _EVENT.sub("", _STAMP.sub("", text, count=1), count=1)
    return bool(_FLOW.match(rest)) and " src=" in rest and " dst=" in rest


class Log:
    """Reads lines."""

    def __init__(self, tally: Tally) -> None:
        """Tell everything to a tally."""
        self._tally = tally
        self.skipped = 0

    def take(self, line: bytes) -> None:
        """Take a line. Raises `MalformedError`."""
        text = line.decode("latin-1").rstrip()
        if not text.strip() or text.startswith(_NOT_A_FLOW):
            return
        time = None
        if stamp := _STAMP.match(text):
            time, text = stamp[1], text[stamp.end() :]
        event = ""
        if found := _EVENT.match(text):
            event, text = found[1], text[found.end() :]
        head = _FLOW.match(text)
        if head is None:
            raise MalformedError
        self._take(head[1], int(head[2]), text[head.end() :].split(), value.seconds(time), counts=event in {"", "NEW"})

    def _take(self, name: str, number: int, words: list[str], time: int, *, counts: bool) -> None:
        if number > 255 or (name in value.NUMBERS and name != "unknown" and value.NUMBERS[name] != number):
            raise MalformedError
        state = words[0] if words and _STATE.match(words[0]) else ""
        if not state and "[UNREPLIED]" in words:
            state = "UNREPLIED"
        pairs = [word.split("=", 1) for word in words if "=" in word]
        sides = [[text for key, text in pairs if key == wanted][:_BOTH] for wanted in ("src", "dst", "sport", "dport")]
        sources, targets, source_ports, target_ports = sides
        if not sources or len(sources) != len(targets) or len(source_ports) != len(target_ports):
            raise MalformedError
        ends = log.Tuple(
            value.address(sources[0]), value.port(source_ports[0] if source_ports else None),
            value.address(targets[0]), value.port(target_ports[0] if target_ports else None), number,
        )  # fmt: skip
        log.flow(self._tally, ends, (time, time), int(counts), state)
        if len(sources) < _BOTH:
            return
        reached = value.address(sources[1]), value.port(source_ports[1]) if len(source_ports) == _BOTH else 0
        if reached != (ends.responder, ends.responder_port):
            behind = log.Tuple(ends.initiator, ends.initiator_port, *reached, number)
            log.flow(self._tally, behind, (time, time), int(counts), state)
