"""What a rule sees of names: who resolves them, what the answers are, and which were asked for."""

from __future__ import annotations

from airgap_check.evidence import Allowed, Answer, Question, Request, Resolver
from airgap_check.evidence.fact import Endpoint
from airgap_check.view.base import WHO, View, YesNo


class ResolverView(View, frozen=True, kw_only=True):
    """A name server in use."""

    identity = ("record.address", "record.source", "record.via")

    record: Resolver
    scope: str
    allowed: Allowed


class AnswerView(View, frozen=True, kw_only=True):
    """What a source said about a name."""

    identity = ("record.name", "record.status")

    record: Answer


class ResolvedView(View, frozen=True, kw_only=True):
    """One address of an answer; ``public`` is yes where an entry for the name approves public addresses."""

    identity = ("record.name", "remote.address")

    record: Answer
    remote: Endpoint
    public: YesNo


class QuestionView(View, frozen=True, kw_only=True):
    """A name that was asked for.

    ``name`` is without the suffix of a search list, ``asked`` is the whole of it. ``public`` tells whether the whole
    name belongs to the public tree of names, ``allowed`` whether an entry names it.
    """

    identity = ("name", *WHO)

    record: Question
    name: str
    asked: str
    public: YesNo
    allowed: Allowed


class MentionView(View, frozen=True, kw_only=True):
    """A name or a peer that a question or a request is about; ``means`` is the protocol in which it was."""

    identity = ("name", "means", "target", *WHO)

    record: Question | Request
    name: str | None
    means: str
    remote: Endpoint
    target: str | None = None
