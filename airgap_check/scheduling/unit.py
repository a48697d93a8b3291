"""A task as units of systemd: a service and its timer, or a service that stays (systemd.exec(5))."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airgap_check.errors import UsageError
from airgap_check.scheduling import hardening
from airgap_check.scheduling.task import STATE, check_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airgap_check.scheduling.task import Task

SERVICE, TIMER, WATCH = "airgap-check.service", "airgap-check.timer", "airgap-check-watch.service"
NAMES = (SERVICE, TIMER, WATCH)
_QUOTES = "\"'\\"
_HEAD = "# Written by airgap-check schedule.\n"


def render(task: Task) -> dict[str, str]:
    """Return the units by their names. Raises `UsageError` for what a unit cannot hold."""
    check_words([*task.argv, *task.writes, task.state])
    if any(char in task.argv[0] for char in _QUOTES):
        raise UsageError(f"{task.argv[0]}: systemd starts no program whose path has a quote or a backslash in it")
    if task.watches:
        return {WATCH: _watch(task)}
    return {SERVICE: _service(task), TIMER: _timer(task)}


def enabled(task: Task) -> str:
    """Name the unit that has to be enabled."""
    return WATCH if task.watches else TIMER


def command(argv: Sequence[str]) -> str:
    """Return a command as ExecStart= takes it: variables stand for themselves; in the program's path there are none."""
    return " ".join([quote(argv[0]), *(quote(word).replace("$", "$$") for word in argv[1:])])


def quote(word: str) -> str:
    """Return a word as a unit takes it: specifiers, spaces and quotes stand for themselves (systemd.syntax(7))."""
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    bare = word and all(char.isalnum() or char in "/._-=:,@+%$" for char in word) and word.isascii()
    return plain if bare else f'"{plain}"'


def _service(task: Task) -> str:
    return (
        _HEAD
        + f"""\
[Unit]
Description=Audit what this host talks to (airgap-check)

[Service]
Type=oneshot
ExecStart={command(task.argv)}
# 1 is not compliant, 4 inconclusive: both leave the unit failed, for whoever watches units.
# Lines without a priority of their own are complaints.
SyslogLevel=warning
TimeoutStartSec=15min
{_limits(task, "1G")}"""
    )


def _timer(task: Task) -> str:
    return (
        _HEAD
        + f"""\
[Unit]
Description=Audit what this host talks to every {task.distance} (airgap-check)

[Timer]
OnActiveSec=1min
OnBootSec=1min
OnUnitActiveSec={task.distance}
AccuracySec={max(1, min(60, task.every // 10))}s

[Install]
WantedBy=timers.target
"""
    )


def _watch(task: Task) -> str:
    return (
        _HEAD
        + f"""\
[Unit]
Description=Watch what this host talks to (airgap-check)
StartLimitIntervalSec=10min
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
ExecStart={command(task.argv)}
# Policy and rules are read again; an invalid policy leaves the old one in force, and says so.
ExecReload=/bin/kill -HUP $MAINPID
# The last report takes its time, and so does the first look at a big host.
TimeoutStartSec=15min
TimeoutStopSec=15min
WatchdogSec=10min
Restart=always
RestartSec=10s
# 2 is an invalid policy: to try again changes nothing. 1 and 4 are verdicts, which reports and alerts tell.
RestartPreventExitStatus=2
SuccessExitStatus=1 4
SyslogLevel=warning
# Kernels before 5.11 count the maps of eBPF as locked memory.
LimitMEMLOCK=infinity
{_limits(task, "2G")}
[Install]
WantedBy=multi-user.target
"""
    )


def _limits(task: Task, memory: str) -> str:
    capabilities = dict(hardening.WATCH_CAPABILITIES if task.watches else hardening.AUDIT_CAPABILITIES)
    if task.alerts:
        capabilities |= hardening.ALERT_CAPABILITIES
    calls = hardening.WATCH_CALLS if task.watches else hardening.AUDIT_CALLS
    families = hardening.WATCH_FAMILIES if task.watches else hardening.AUDIT_FAMILIES
    lines = [
        "# A guest on a production host.",
        "Nice=10",
        "CPUWeight=20",
        "IOSchedulingClass=idle",
        f"MemoryMax={memory}",
        "TasksMax=64",
        "",
        "# The least with which everything is still seen, as measured. What each capability is for:",
        *(f"# {name}: {purpose}" for name, purpose in capabilities.items()),
        f"CapabilityBoundingSet={' '.join(capabilities)}",
        "AmbientCapabilities=",
        *hardening.COMMON,
        *(() if task.watches else hardening.AUDIT_ONLY),
        f"RestrictAddressFamilies={families}",
        f"SystemCallFilter={calls}",
        "SystemCallErrorNumber=EPERM",
        "",
        "# Nothing of the host may be written but these folders.",
        "ProtectSystem=strict",
        *_writable(task),
    ]
    return "\n".join(lines) + "\n"


def _writable(task: Task) -> Iterator[str]:
    if task.state == STATE:
        yield f"StateDirectory={os.path.basename(STATE)}"
        yield "StateDirectoryMode=0700"
    folders = dict.fromkeys([*task.writes, *([] if task.state == STATE else [task.state])])
    for folder in folders:
        yield f"ReadWritePaths={quote(folder)}"
