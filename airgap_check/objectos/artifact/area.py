"""The parts of an artifact, and what the names in each mean: which hold destinations, secrets, or words for people.

Sources: `packages/spec/src/stack.zod.ts` and the schemas that it names, of the public runtime 17.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airgap_check.evidence.asset import Dialer

Kind = Literal["nothing", "url", "host", "secret", "markup", "arguments"]


class Meaning(NamedTuple):
    """What a text under a name is; ``dialer`` and ``role`` where they differ from those of the area."""

    kind: Kind
    dialer: Dialer | None = None
    role: str | None = None


_NOTHING = Meaning("nothing")
_URL, _HOST, _SECRET = Meaning("url"), Meaning("host"), Meaning("secret")


class Area:
    """A part of an artifact.

    ``steps`` says which names lead into another part; all else stays in this one. ``names`` are those that mean
    something here only. A *quiet* one is prose: texts for people, payloads, records, sandboxed code. A *silent* one
    names no destination, but may hold secrets. ``hosts``: a host of one label is one here.
    """

    def __init__(
        self,
        name: str,
        dialer: Dialer = "server-event",
        role: str | None = None,
        *,
        sight: Literal["full", "silent", "quiet"] = "full",
        hosts: bool = False,
        names: Mapping[str, Meaning] | None = None,
        steps: Mapping[str, Area] | None = None,
    ) -> None:
        """Describe a part."""
        self.name, self.dialer, self.role, self.sight, self.hosts = name, dialer, role, sight, hosts
        self.names: dict[str, Meaning] = dict(names or {})
        self.steps: dict[str, Area] = dict(steps or {})


QUIET = Area("prose", "nobody", sight="quiet")
_SILENT = Area("silent", "nobody", sight="silent")
_AUTH = Area("authentication", hosts=True, names={"key": _SECRET, "value": _SECRET})
_GENERIC = Area("generic")
_BROWSER = Area("browser", "browser", names=dict.fromkeys(("target", "newTabUrl", "actionUrl", "src"), _URL))
_PAGE = Area("page", "browser", names={**_BROWSER.names, "source": Meaning("markup"), "html": Meaning("markup")})
_OBJECT = Area("object", steps={"actions": _BROWSER})
_DATABASE = Area("datasource configuration", role="database", hosts=True)
_DATASOURCE = Area("datasource", role="database", steps={"config": _DATABASE, "readReplicas": _DATABASE})
_WEBHOOK = Area("webhook", role="webhook")
_NODE_ACTION = {"actionUrl": Meaning("url", "browser"), "newTabUrl": Meaning("url", "browser")}
_FLOW = Area("flow", names=_NODE_ACTION)
_SPECIFICATION = Area("inline specification", sight="quiet", steps={"servers": _GENERIC, "securitySchemes": _GENERIC})
_TRANSPORT = Area("transport", "server-boot", hosts=True, names={"args": Meaning("arguments")})
_PROVIDER = Area(
    "provider configuration",
    hosts=True,
    names={"spec": Meaning("url", "server-boot")},
    steps={"spec": _SPECIFICATION, "transport": _TRANSPORT, "auth": _AUTH},
)
_CONNECTOR = Area("connector", steps={"providerConfig": _PROVIDER, "transport": _TRANSPORT})
_CONTROL = Meaning("url", role="control-plane")
_PLUGIN = Area("plugin", "nobody", names={"cloudUrl": _CONTROL, "controlPlaneUrl": _CONTROL})
_AI = Area("ai", role="ai", steps=dict.fromkeys(("instructions", "systemPrompt", "prompt"), QUIET))
_ROUTE = Area("api", names={"target": _URL})

PLUGINS, DATASOURCES, CONNECTORS, WEBHOOKS, GENERIC = _PLUGIN, _DATASOURCE, _CONNECTOR, _WEBHOOK, _GENERIC
_SECTIONS: dict[str, Area] = {
    "datasources": _DATASOURCE,
    "webhooks": _WEBHOOK,
    "flows": _FLOW,
    "connectors": _CONNECTOR,
    "plugins": _PLUGIN,
    "objects": _OBJECT,
    "objectExtensions": _OBJECT,
    "pages": _PAGE,
    "apis": _ROUTE,
    **dict.fromkeys(("apps", "views", "dashboards", "reports", "actions"), _BROWSER),
    **dict.fromkeys(("agents", "tools", "skills"), _AI),
    **dict.fromkeys(("api", "server"), _SILENT),  # where it listens, not where it goes
    **dict.fromkeys(("translations", "i18n", "docs", "books", "emailTemplates", "data", "requires"), QUIET),
    **dict.fromkeys(("positions", "permissions", "capabilities", "sharingRules"), QUIET),
}
_KINDS = {name.lower().removesuffix("s"): area for name, area in _SECTIONS.items()} | {"seed": QUIET, "book": QUIET}

_ALL = (*_SECTIONS.values(), _AUTH, _DATABASE, _PROVIDER, _TRANSPORT, _SPECIFICATION)
_TELLING_SOMEWHERE = frozenset(name for area in _ALL for name in area.names) | {"provider", "dialect"}

# --- names that mean the same everywhere -----------------------------------------------------------------------------

_PROSE_WORDS = """
    description label plurallabel title subtitle help helptext inlinehelptext placeholder tooltip message text content
    comment comments documentation example examples homepage repository bugs icon logo favicon image template subject
    branding body bodyhtml bodytext payload instructions systemprompt license author defaultvalue options
"""
_PROSE = frozenset(_PROSE_WORDS.split())
# A name like these that holds a text is prose; one that holds a structure may be anything.
_PROSE_TEXTS_ONLY = frozenset(
    {"options", "content", "template", "image", "comment", "body", "payload", "text", "message"}
)
_HEADERS = frozenset({"headers", "defaultheaders", "customheaders", "requestheaders"})
_AUTHENTICATION = frozenset({"auth", "authentication", "credentials", "oauth", "oauth2", "security"})
_CODE = frozenset({"source", "script", "code", "expression", "formula", "handler"})
_PICTURE = re.compile(
    r"logo|icon|image|avatar|thumbnail|picture|photo|schema|homepage|license|redirect|callback|prefix"
)
_URL_NAME = re.compile(r"(?:url|uri|urls|uris|endpoint|endpoints|href|dsn|connectionstring|issuer|baseurl|origin)\Z")
_HOST_NAME = re.compile(r"(?:\A|[a-z_])(?:host|hosts|hostname|hostnames|broker|brokers|server|servers|address)\Z")
_SECRET_NAME = re.compile(
    r"(?:password|passwd|pwd|passphrase|secret|token|apikey|accesskey|secretkey|privatekey|signingkey|encryptionkey|"
    r"accountkey|authorization|cookie)\Z"
)
_NO_SECRET = re.compile(
    r"(?:csrf|page|next|continuation|sync|design|date|context)token\Z|(?:forgot|reset|change)password\Z"
)


def section(name: str) -> Area:
    """Return the part that a name at the top of an artifact opens."""
    return _SECTIONS.get(name, _GENERIC)


def of_kind(kind: str) -> Area:
    """Return the part that one piece of metadata belongs to: ``flow``, ``flows``, ``email_template`` ..."""
    plain = re.sub(r"[^a-z]", "", kind.lower())
    plain = plain.removesuffix("ies") + "y" if plain.endswith("ies") else plain.removesuffix("s")
    return _KINDS.get(plain, _GENERIC)


@lru_cache(maxsize=1 << 14)
def meaning(area: Area, name: str) -> Meaning:
    """Say what a text under this name is, in this part."""
    known = area.names.get(name)
    if known:
        return known
    plain = re.sub(r"[^a-z0-9]", "", name[:64].lower())
    if area.sight == "quiet" or plain in _PROSE:
        return _NOTHING
    if _SECRET_NAME.search(plain) and not _NO_SECRET.search(plain):
        return _SECRET
    if area.sight == "silent" or _PICTURE.search(plain):
        return _NOTHING
    if _HOST_NAME.search(plain):
        return _HOST
    return _URL if _URL_NAME.search(plain) else _NOTHING


@lru_cache(maxsize=1 << 13)
def telling(area: Area, names: tuple[str, ...]) -> frozenset[str]:
    """Return those of some names whose text means something here: structures of one shape come by the thousand."""
    return frozenset(name for name in names if meaning(area, name).kind != "nothing")


@lru_cache(maxsize=1 << 13)
def is_dull(names: tuple[str, ...]) -> bool:
    """Tell whether none of some names means anything in any part, neither over a text nor over a structure."""
    return all(name not in _TELLING_SOMEWHERE and meaning(_GENERIC, name).kind == "nothing" for name in names)


@lru_cache(maxsize=1 << 14)
def below(area: Area, name: str) -> Area:
    """Return the part that a structure under this name belongs to."""
    known = area.steps.get(name)
    if known:
        return known
    plain = re.sub(r"[^a-z0-9]", "", name[:64].lower())
    if area.sight != "full":
        return area
    if plain in _HEADERS:
        return _SILENT
    if plain in _AUTHENTICATION:
        return _AUTH if area.dialer != "nobody" else area
    if plain in _CODE or (plain in _PROSE and plain not in _PROSE_TEXTS_ONLY):
        return QUIET
    return QUIET if plain in {"body", "payload"} and area.dialer != "nobody" else area
