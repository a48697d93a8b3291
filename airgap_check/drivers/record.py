"""Makes up a record of an object from its metadata: something harmless in every field that has to be filled."""

from __future__ import annotations

from typing import Any

_VALUES: dict[str, Any] = {
    "text": "rehearsal", "textarea": "rehearsal", "markdown": "rehearsal", "html": "rehearsal", "richtext": "rehearsal",
    "email": "rehearsal@airgap-check.example", "url": "https://airgap-check.example/", "phone": "+15550100",
    "number": 1, "currency": 1, "percent": 1, "rating": 1, "slider": 1, "boolean": True, "toggle": True,
    "date": "2026-01-01", "datetime": "2026-01-01T00:00:00Z", "time": "00:00:00",
    "json": {}, "color": "#336699", "code": "rehearsal", "tags": ["rehearsal"],
    "location": {"lat": 0, "lng": 0}, "address": {"country": "XX"},
}  # fmt: skip
_CHOICES = ("select", "radio")
_MANY_CHOICES = ("multiselect", "checkboxes")
_COMPUTED = ("formula", "autonumber", "summary")
_WORDS = ("text", "textarea", "markdown", "html", "richtext", "code")  # in the order in which an update would take one


def fill(fields: dict[str, Any]) -> dict[str, Any] | str:
    """Return a value for each required field, or the name of the first one that nothing can be made up for."""
    record: dict[str, Any] = {}
    for name, field in fields.items():
        if not isinstance(field, dict) or not field.get("required") or _is_servers(field) or "defaultValue" in field:
            continue
        value = _value(field)
        if value is None:
            return name
        record[name] = value
    return record


def change(fields: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    """Return an update that changes something: a text that a person may write, or else the record as it is."""
    words = [
        (_WORDS.index(field["type"]), name)
        for name, field in fields.items()
        if isinstance(field, dict) and field.get("type") in _WORDS and not _is_servers(field)
    ]
    return {min(words)[1]: "rehearsed"} if words else record


def _is_servers(field: dict[str, Any]) -> bool:
    """Tell whether the server fills a field by itself."""
    return bool(field.get("system") or field.get("readonly") or field.get("type") in _COMPUTED)


def _value(field: dict[str, Any]) -> Any:
    kind = field.get("type")
    if kind in _CHOICES or kind in _MANY_CHOICES:
        options = field.get("options") or [None]
        first = options[0] if isinstance(options, list) else None
        choice = first.get("value") if isinstance(first, dict) else first
        return [choice] if choice is not None and kind in _MANY_CHOICES else choice
    value = _VALUES.get(kind) if isinstance(kind, str) else None
    if isinstance(value, str) and isinstance(longest := field.get("maxLength"), int) and longest > 0:
        return value[:longest]
    if isinstance(value, int) and not isinstance(value, bool):
        return _bounded(value, field)
    return value


def _bounded(value: int, field: dict[str, Any]) -> float:
    low, high = field.get("min"), field.get("max")
    if isinstance(low, int | float) and value < low:
        return low
    return high if isinstance(high, int | float) and value > high else value
