"""Asks an object store for a bucket's headers, without credentials: that it says no is answer enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.probes import http
from airgap_check.probes.account import ConversationError, Heard, quoted

if TYPE_CHECKING:
    from airgap_check.probes.account import Target
    from airgap_check.probes.line import Line

_WORDS = {200: "anybody may read it", 403: "it wants credentials", 404: "there is no such bucket"}


def ask(line: Line, target: Target) -> Heard:
    """Ask for the headers of a bucket, path style. Raises `ConversationError` when the store itself is in trouble."""
    bucket = target.detail.strip("/")
    response = http.request(line, target, "HEAD", bucket)
    if response.status >= 500:
        raise ConversationError(f"HTTP {response.status}")
    words = _WORDS.get(response.status, "") if bucket else ""
    region = response.headers.get("x-amz-bucket-region", "")
    told = [f"HTTP {response.status}", words, f"region {quoted(region)}" if region else ""]
    return Heard(", ".join(filter(None, told)), http.redirection(response, target, "object-storage"))
