"""Fetches the metadata of a SAML identity provider and names every location in it.

Source: Metadata for SAML V2.0, 2.2.2. The document is foreign XML: one with a DTD is refused before it can declare an
entity, and nothing that it points to is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.parsers import expat

from airgap_check.objectos.endpoint import parse as endpoints_of
from airgap_check.probes import http
from airgap_check.probes.account import Checked, ConversationError, Heard, Named, quoted
from airgap_check.redact import url

if TYPE_CHECKING:
    from airgap_check.evidence.asset import Dialer
    from airgap_check.probes.account import Target
    from airgap_check.probes.line import Line

_METADATA = "urn:oasis:names:tc:SAML:2.0:metadata"
_BACK_CHANNEL = "urn:oasis:names:tc:SAML:2.0:bindings:SOAP"
_MOST_ELEMENTS = 50_000
_DEEPEST = 64
_MOST_NAMED = 200


def ask(line: Line, target: Target) -> Heard:
    """Fetch the metadata and name what it names. Raises `ConversationError` where there is none to be had."""
    response = http.request(line, target, "GET", target.detail, media="application/samlmetadata+xml, text/xml")
    if response.status != 200:
        line.named += http.redirection(response, target, "idp")
        raise ConversationError(f"no metadata at {quoted(target.detail) or '/'}: HTTP {response.status}")
    document = _Metadata(response.body)
    if not document.entities:
        raise ConversationError("what it shows is no SAML metadata")
    read = Checked("idp-discovery", "passed", f"{len(document.named)} destinations")
    if document.more:
        read = Checked("idp-discovery", "unknown", f"more than {_MOST_NAMED} destinations, the rest was not judged")
    detail = f"metadata of {quoted(url(document.entities[0]))}"
    return Heard(detail, tuple(document.named), (read,))


class _Metadata:
    """What was found in a document, in its order."""

    def __init__(self, body: bytes) -> None:
        self.entities: list[str] = []
        self.named: list[Named] = []
        self.more = False
        self._path: list[str] = []
        self._elements = 0
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._refuse
        try:
            parser.Parse(body, True)  # noqa: FBT003 # expat takes no keywords
        except expat.ExpatError as error:
            place = f"line {error.lineno}, column {error.offset + 1}"
            raise ConversationError(f"its metadata is malformed at {place}: {expat.ErrorString(error.code)}") from None
        except (ValueError, LookupError):
            raise ConversationError("its metadata has an encoding that nobody knows") from None

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        space, _, local = name.rpartition(" ")
        self._path.append(quoted(local))
        if self._elements > _MOST_ELEMENTS or len(self._path) > _DEEPEST:
            raise ConversationError("its metadata has too many elements, or too deep ones")
        if space != _METADATA:
            return
        if local == "EntityDescriptor" and "entityID" in attributes:
            self.entities.append(attributes["entityID"])
            if "://" in attributes["entityID"]:
                self._name("entityID", attributes["entityID"], dials=False)
        for attribute in ("Location", "ResponseLocation"):
            if attribute in attributes:
                self._name(attribute, attributes[attribute], back=attributes.get("Binding") == _BACK_CHANNEL)

    def _end(self, _: str) -> None:
        self._path.pop()

    def _refuse(self, *_: object) -> None:
        raise ConversationError("its metadata has a DTD, which SAML needs none of: refused")

    def _name(self, attribute: str, text: str, *, back: bool = False, dials: bool = True) -> None:
        if len(self.named) >= _MOST_NAMED:
            self.more = True
            return
        ends = endpoints_of(text) if "://" in text else ()
        pointer = f"{'/'.join(self._path[-2:])}/@{attribute}"
        dialer: Dialer = "nobody"
        if dials:
            dialer = "server-event" if back else "browser"
        self.named.append(Named(pointer, quoted(url(text)), "idp", ends[0] if ends else None, dialer))
