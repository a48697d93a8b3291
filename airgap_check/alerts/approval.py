"""Whether the policy approves where an alert would go: by name or network at the start, by address when it is sent.

Only an entry that holds for this process counts, and no name is ever looked up: which address a name has is what the
run itself found out, so that a wildcard, which nobody asks for, approves no alert.
"""

from __future__ import annotations

import copy
import os
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.address import PUBLIC, parse, scope_of
from airgap_check.alerts.failure import DeliveryError
from airgap_check.domain import normal
from airgap_check.evidence import Connection
from airgap_check.evidence.fact import Endpoint, endpoint
from airgap_check.kernel import cgroup, netns, procfs
from airgap_check.policy.allowlist import NEVER_EGRESS, Allowlist
from airgap_check.policy.permission import Permission
from airgap_check.policy.selector import selects

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from airgap_check.address import Address
    from airgap_check.alerts.settings import AlertFile, Destination, Goal
    from airgap_check.evidence import Answer
    from airgap_check.evidence.fact import Process, Workload
    from airgap_check.policy import Policy
    from airgap_check.yamlfile import Document, Path

_MOST_ADDRESSES = 4  # that are tried for one message


class _Sender(NamedTuple):
    """Who we are, as entries that are only for some would have it."""

    process: Process | None
    workload: Workload | None

    @property
    def user(self) -> str | None:
        return self.process.user if self.process else None


@lru_cache(maxsize=1)
def _ourselves() -> _Sender:
    return _Sender(procfs.describe(os.getpid()), cgroup.of_process(os.getpid()))


def check(file: AlertFile, policy: Policy | None, today: date) -> None:
    """Refuse destinations that the policy does not approve; None is a policy that has yet to be derived.

    Raises `InvalidFileError` with every one of them.
    """
    document: Document = copy.copy(file.document)
    document.faults = []
    said = set()
    for index, destination in enumerate(file.destinations):
        goal = destination.goal
        if goal and (why := _refused(goal, policy, today)):
            place = f'alerts to "{destination.name}" go to {_shown(goal)}/{goal.protocol}'
            reason = "which is not approved, as above" if why in said else why
            document.fault(_place(index, destination), f"{place}, {reason}")
            said.add(why)
    document.refuse()


def _place(index: int, destination: Destination) -> Path:
    kind, key = ("webhook", "url") if destination.webhook else ("smtp" if destination.smtp else "syslog", "host")
    return ("destinations", index, kind, key)


def _shown(goal: Goal) -> str:
    return f"[{goal.host}]:{goal.port}" if ":" in goal.host else f"{goal.host}:{goal.port}"


def _refused(goal: Goal, policy: Policy | None, today: date) -> str:
    """Say why nothing approves a destination, and what would; "" where something does."""
    address = parse(goal.host)
    if address and scope_of(address) in NEVER_EGRESS:
        return ""
    if policy is None or policy.derived:
        return "and the policy is derived: nobody approved it; airgap-check init prints one to approve"
    public = address is not None and scope_of(address) in PUBLIC and not _is_internal(address, policy)
    held = [rule for entry in policy.file.allow if _holds(rule := Permission(entry, today), goal, address)]
    misses = [f'entry "{rule.name}" {miss}' for rule in held if (miss := _miss(rule, goal, today, public=public))]
    if len(misses) < len(held):
        return ""
    kind, target = ("cidr", f"{address}/{address.max_prefixlen}") if address else ("host", normal(goal.host))
    name = f"alerts to {_shown(goal)}/{goal.protocol}"
    line = f'- {{name: "{name}", role: {goal.role}, {kind}: ["{target}"], ports: [{goal.port}]'
    line += f"{', protocol: udp' if goal.protocol == 'udp' else ''}{', public: true' if public else ''}}}"
    because = f" ({'; '.join(misses)})" if misses else ""
    return f"which no entry of the policy approves{because}; to approve it, add to allow: {line}"


def _is_internal(address: Address, policy: Policy) -> bool:
    return any(address in network for network in policy.internal)


def _holds(rule: Permission, goal: Goal, address: Address | None) -> bool:
    return rule.holds([address]) if address else rule.names(normal(goal.host))


def _miss(rule: Permission, goal: Goal, today: date, *, public: bool) -> str:
    """Say why an entry that holds a name or address does not approve it; "" where it does."""
    if rule.has_lapsed(today):
        return "has expired"
    if not rule.carries(goal.protocol, goal.port):
        return "is for other ports, or another protocol"
    if public and not rule.public:
        return "does not say public: true"
    if parse(goal.host) is None and normal(goal.host) not in rule.hosts:
        return "holds it by a wildcard, whose names nobody asks for: name it"
    us = _ourselves()
    if rule.selector and selects(rule.selector, us.process, us.workload, us.user) != "yes":
        return "is not for airgap-check"
    return ""


class Approval:
    """What may be dialled at the end of one run: its policy, and the answers that it was given."""

    def __init__(self, policy: Policy, answers: Iterable[Answer], today: date) -> None:
        """Take answers from name servers and files alone: anybody could have put one on the wire."""
        self._policy, self._today = policy, today
        self._answers = [answer for answer in answers if answer.source != "observed"]
        self._allowlist = Allowlist(policy, self._answers, today)
        self._netns = netns.own_inode()

    def addresses(self, goal: Goal) -> Sequence[Address]:
        """Return the addresses of a destination that are approved, in the order of the answers.

        Raises `DeliveryError` where there are none.
        """
        if why := _refused(goal, self._policy, self._today):
            raise DeliveryError(f"it goes to {_shown(goal)}, {why}")
        literal = parse(goal.host)
        known = [literal] if literal else self._answered(normal(goal.host))
        if not known:
            raise DeliveryError(f"{goal.host} was not resolved by this run")
        approved = [address for address in known if self._approves(goal, address)]
        if not approved:
            raise DeliveryError(f"{goal.host} is {known[0]}, which the policy does not approve")
        return approved[:_MOST_ADDRESSES]

    def _answered(self, name: str) -> list[Address]:
        """Return what a name leads to from where we are; what a runtime alone was told is not said to us."""
        ours = [answer for answer in self._answers if not answer.private and normal(answer.name) == name]
        texts = [end.address for answer in ours if answer.status == "ok" for end in answer.addresses if end.address]
        return [address for text in dict.fromkeys(texts) if (address := parse(text)) is not None]

    def _approves(self, goal: Goal, address: Address) -> bool:
        us = _ourselves()
        attempt = Connection(
            netns=self._netns,
            protocol=goal.protocol,
            state="SYN-SENT",
            direction="outbound",
            local=Endpoint(),
            remote=endpoint(address, goal.port),
            process=us.process,
            workload=us.workload,
            user=us.user,
        )
        return self._allowlist.connection(attempt).allowed == "yes"
