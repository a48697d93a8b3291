"""Asks a running ObjectOS whether its control plane is mounted, and whether anybody can sign in.

Three reads that make the runtime dial nobody. Never ``/api/v1/marketplace``: asking that is what makes it call home.
Source: packages/cloud-connection and plugin-auth of @objectstack 17.4.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airgap_check.probes import http
from airgap_check.probes.account import Checked, ConversationError, Heard, quoted
from airgap_check.probes.openid import parse_object

if TYPE_CHECKING:
    from airgap_check.evidence.asset import Outcome
    from airgap_check.probes.account import Target
    from airgap_check.probes.http import Response
    from airgap_check.probes.line import Line

CONFIG = "/api/v1/runtime/config"
STATUS = "/api/v1/cloud-connection/status"
SIGN_IN = "/api/v1/auth/config"
_MOST_PROVIDERS = 20


def ask(line: Line, target: Target) -> Heard:
    """Ask the three questions. What a runtime does not answer is *unknown*; raises `ConversationError` for no HTTP."""
    config = http.request(line, target, "GET", CONFIG, media="application/json", stays=True)
    answers: dict[str, Response] = {}
    for path in (STATUS, SIGN_IN):
        try:
            answers[path] = http.request(line, target, "GET", path, media="application/json", stays=path != SIGN_IN)
        except (ConversationError, OSError):  # TimeoutError is one: the first answer still counts
            break
    checks = (_control_plane(config, answers.get(STATUS)), _login_path(answers.get(SIGN_IN)))
    return Heard(f"HTTP {config.status}", (), checks)


def _control_plane(config: Response, status: Response | None) -> Checked:
    """Judge by both answers: each alone could be that of another version."""
    mounted = _inside(_object(config), "features", "marketplace")
    outcome: Outcome = "unknown"
    if mounted is True or (status is not None and status.status == 200):
        outcome = "failed"
    elif mounted is False and status is not None and status.status == 404:
        outcome = "passed"
    if isinstance(mounted, bool):
        told = f"features.marketplace is {str(mounted).lower()}"
    else:
        told = f"{CONFIG} does not tell (HTTP {config.status})"
    answered = f"answers {status.status}" if status else "was not answered"
    return Checked("control-plane-mounted", outcome, f"{told}, {STATUS} {answered}", CONFIG)


def _login_path(response: Response | None) -> Checked:
    """Tell whether anybody can sign in: by a local password, or by an identity provider."""
    data = _inside(_object(response), "data") if response else None
    password = _inside(data, "emailPassword", "enabled")
    listed = _inside(data, "socialProviders")
    if not isinstance(password, bool) or not isinstance(listed, list):
        answered = f"HTTP {response.status}" if response else "no answer"
        return Checked("login-path", "unknown", f"{SIGN_IN} does not tell ({answered})", SIGN_IN)
    ways = ["local password"] if password else []
    ways += [f"provider {quoted(str(_inside(item, 'id')))}" for item in listed[:_MOST_PROVIDERS]]
    ways += ["single sign-on"] if _inside(data, "features", "sso") is True else []
    ways += ["one-time code by phone"] if _inside(data, "features", "phoneNumberOtp") is True else []
    if ways:
        return Checked("login-path", "passed", ", ".join(ways), SIGN_IN)
    return Checked("login-path", "failed", "local passwords are off, and there is no identity provider", SIGN_IN)


def _object(response: Response) -> dict[str, Any] | None:
    return parse_object(response.body) if response.status == 200 else None


def _inside(value: object, *keys: str) -> object:
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value
