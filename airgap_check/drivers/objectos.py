"""Drives an ObjectOS or ObjectStack runtime through what its users do, so far as the running server offers it.

Every step is a request that the product's own console or CLI makes. What the server answers 404 for it does not have,
and that step is skipped. Source: @objectstack/cli 17.4.0.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

from airgap_check.drivers import console, metadata, record
from airgap_check.drivers.http import MOST_BYTES, Answer, Visitor
from airgap_check.drivers.where import PATIENCE, Driven, Where, await_server
from airgap_check.redact import printable

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from airgap_check.drivers.diary import Diary

_API = "/api/v1"
_HEALTH = f"{_API}/health"
_MARKETPLACE = f"{_API}/marketplace/packages"
_ABSENT = frozenset({404, 405, 501})
_LINGER = 0.25  # seconds that belong to a request beyond its answer: servers answer first and dial out then
_LONG_LINGER = 2.0  # where the work is queued: mail, webhooks (looked for every 500 ms)
_MOST_ASSETS, _MOST_OBJECTS, _MOST_PROVIDERS = 20, 20, 5
_MOST_METADATA = 1 << 26  # bytes; 3 KiB a field
_ASSET = re.compile(r"""(?:src|href)="(\.?/?[A-Za-z0-9_./-]{1,200}\.(?:js|css|json|svg|png|ico|woff2?))\"""")


def drive(where: Where, diary: Diary, stop: threading.Event, package: Mapping[str, Any] | None = None) -> Driven:
    """Wait until the runtime serves, and take every step; ``package`` is a package file's JSON to install."""
    port = await_server(where, stop, _HEALTH)
    if port is None:
        with diary.visiting(f"GET {_HEALTH}") as remark:
            remark.say("failed", "told to stop" if stop.is_set() else f"nobody served within {PATIENCE:g} s")
        return Driven()
    walk = _Walk(Visitor(port), diary, stop)
    walk.look_around()
    walk.enter()
    walk.use_what_needs_a_session(package)
    walk.sign_in_with_others()
    return Driven(port, dict(walk.visitor.cookies), walk.pages())


class _Walk:
    """One user's way through the product."""

    def __init__(self, visitor: Visitor, diary: Diary, stop: threading.Event) -> None:
        self.visitor = visitor
        self._diary, self._stop = diary, stop
        self._email = f"rehearsal-{secrets.token_hex(4)}@airgap-check.example"
        self._password = f"Aa1-{secrets.token_urlsafe(24)}"  # is nowhere but in requests over loopback
        self._packages: list[str] = []
        self._objects: list[str] = []

    def look_around(self) -> None:
        """Ask what needs no session."""
        for path in ("/health", "/ready"):
            self._visit("GET", _API + path)
        self._visit("GET", "/")
        console = self._visit("GET", "/_console/")
        for asset in _assets(console.text)[:_MOST_ASSETS]:
            self._visit("GET", asset, linger=0)
        for path in ("/runtime/config", "/auth/config", "/openapi.json", "/docs", "/cloud-connection/status"):
            self._visit("GET", _API + path)
        self._browse_marketplace()

    def enter(self) -> None:
        """Make an account, sign in, and ask for the mail to choose a new password."""
        account = {"email": self._email, "password": self._password}
        self._visit(
            "POST", f"{_API}/auth/sign-up/email", {**account, "name": "Rehearsal"}, must=True, linger=_LONG_LINGER
        )
        self._visit("POST", f"{_API}/auth/sign-in/email", account, must=True)
        asked = {"email": self._email, "redirectTo": "/reset-password"}
        self._visit("POST", f"{_API}/auth/request-password-reset", asked, must=True, linger=_LONG_LINGER)

    def use_what_needs_a_session(self, package: Mapping[str, Any] | None) -> None:
        """Read and write as one who has signed in."""
        listed = self._visit("GET", f"{_API}/packages", most_bytes=_MOST_METADATA).json()
        self._packages = metadata.custom_packages(listed)
        for path in ("/cloud-connection/status", "/marketplace/install-local"):
            self._visit("GET", _API + path)
        self._browse_marketplace()
        if package is not None:
            self._install(package)
        found = self._visit("GET", f"{_API}/meta/object", most_bytes=_MOST_METADATA).json()
        objects = metadata.custom_objects(found)[:_MOST_OBJECTS]
        self._objects = [name for name, _ in objects]
        for name, fields in objects:
            self._write_record(name, fields)
        self._write_own_user()

    def sign_in_with_others(self) -> None:
        """Begin to sign in with each provider on offer, and come back from it with a code that we made up."""
        offered = metadata.at(self._ask_quietly(f"{_API}/auth/config").json(), "data", "socialProviders")
        names = [metadata.at(provider, "id") for provider in offered] if isinstance(offered, list) else []
        for name in [name for name in names if isinstance(name, str) and metadata.NAME.fullmatch(name)][
            :_MOST_PROVIDERS
        ]:
            path = f"{_API}/auth/sign-in/social"
            begun = self._visit("POST", path, {"provider": name, "callbackURL": "/"}, must=True).json()
            state = _state(metadata.at(begun, "url"))
            if state is None:
                self._diary.skip(f"GET {_API}/auth/callback/{name}", "the server gave no state for it")
                continue
            query = f"code={secrets.token_urlsafe(12)}&state={quote(state, safe='')}"
            self._visit("GET", f"{_API}/auth/callback/{name}?{query}", linger=_LONG_LINGER)

    def pages(self) -> tuple[str, ...]:
        """Return the pages that are worth opening in a browser, now that we know what there is."""
        applications = metadata.custom_applications(self._ask_quietly(f"{_API}/meta/app").json())
        return console.pages(applications, self._packages, self._objects)

    def _browse_marketplace(self) -> None:
        listed = self._visit("GET", _MARKETPLACE)
        if listed.status not in _ABSENT:
            self._visit("GET", f"{_MARKETPLACE}/{metadata.package_name(listed.json())}")

    def _install(self, package: Mapping[str, Any]) -> None:
        """Install a package as ``os package install FILE`` does."""
        manifest = package.get("manifest")
        sent = dict(package)
        if isinstance(manifest, dict):
            sent |= {key: manifest.get(key, package.get(key)) for key in ("id", "version")}
        path = f"{_API}/marketplace/install-local"
        self._visit("POST", path, {"manifest": sent}, must=True, linger=_LONG_LINGER)

    def _write_record(self, name: str, fields: dict[str, Any]) -> None:
        path = f"{_API}/data/{name}"
        made_up = record.fill(fields)
        if isinstance(made_up, str):
            self._diary.skip(f"POST {path}", f"no value could be made up for its field {printable(made_up)}")
            return
        created = self._visit("POST", path, made_up, must=True, linger=_LONG_LINGER).json()
        number = metadata.at(created, "id") or metadata.at(created, "record", "id")
        if isinstance(number, str) and metadata.NAME.fullmatch(number):
            changed = record.change(fields, made_up)
            self._visit("PATCH", f"{path}/{number}", changed, f"{path}/{{id}}", must=True, linger=_LONG_LINGER)

    def _write_own_user(self) -> None:
        """Change the name of the user that we are."""
        session = self._ask_quietly(f"{_API}/auth/get-session").json()
        number = metadata.at(session, "user", "id")
        if isinstance(number, str) and metadata.NAME.fullmatch(number):
            path = f"{_API}/data/sys_user"
            self._visit("PATCH", f"{path}/{number}", {"name": "Rehearsed"}, f"{path}/{{id}}", linger=_LONG_LINGER)

    def _ask_quietly(self, target: str) -> Answer:
        """Ask the server what there is, which no visit tells of."""
        return self.visitor.ask("GET", target) if not self._stop.is_set() else Answer(0)

    def _visit(
        self,
        method: str,
        target: str,
        body: Any = None,
        path: str | None = None,
        *,
        must: bool = False,
        linger: float | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> Answer:
        """Make a visit; ``must`` says that a refusal is a failure, because what was to happen has not.

        ``path`` is what to call the target where that holds a number of this run: two runs are to be comparable.
        """
        label = f"{method} {path or target.partition('?')[0]}"
        if self._stop.is_set():
            self._diary.skip(label, "time was up")
            return Answer(0)
        with self._diary.visiting(label) as remark:
            answer = self.visitor.ask(method, target, body, most_bytes=most_bytes)
            if answer.status in _ABSENT:
                remark.say("skipped", f"{answer.status}: this server has no such thing")
                return answer
            failed = not answer.status or (must and answer.status >= 400)
            remark.say("failed" if failed else "done", answer.detail)
            self._stop.wait(_LINGER if linger is None else linger)
        return answer


def _assets(page: str) -> list[str]:
    """Return the paths of the console's own files that its page names, each once."""
    found = (name if name.startswith("/") else f"/_console/{name.removeprefix('./')}" for name in _ASSET.findall(page))
    return list(dict.fromkeys(path for path in found if ".." not in path and not path.startswith("//")))


def _state(url: Any) -> str | None:
    """Return the state that a sign-in's URL carries (RFC 6749 4.1.1)."""
    try:
        return parse_qs(urlsplit(url).query)["state"][0] if isinstance(url, str) else None
    except (ValueError, KeyError):
        return None
