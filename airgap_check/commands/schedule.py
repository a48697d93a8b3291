"""``airgap-check schedule``: print, install or remove what runs this tool again and again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airgap_check.commands import options
from airgap_check.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from airgap_check.scheduling.task import Task

HELP = "print, or install, a hardened systemd timer or service, or a crontab line"
_EVERY = {True: 3600.0, False: 300.0}  # seconds: reports of a watch, audits


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    by = parser.add_mutually_exclusive_group(required=True)
    by.add_argument("--systemd", action="store_true", help="units of systemd")
    by.add_argument("--cron", action="store_true", help="a line for /etc/cron.d")
    parser.add_argument(
        "--every", metavar="DURATION", type=options.duration,
        help="audit so often (default: 5m); with --watch, report so often (default: 1h)",
    )  # fmt: skip
    parser.add_argument("--watch", action="store_true", help="a service that watches all the time")
    parser.add_argument("--policy", metavar="FILE", help="the site's policy, as for audit")
    parser.add_argument(
        "--state", metavar="DIR", help="the folder that remembers runs (default: /var/lib/airgap-check)"
    )
    parser.add_argument(
        "--report", metavar="NAME=FILE", action="append", default=[], help="a report to write each time (repeatable)"
    )
    parser.add_argument("--alerts", metavar="FILE", help="whom to tell what has changed, as for audit")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--install", action="store_true", help="write the files, and start what they describe")
    what.add_argument("--remove", action="store_true", help="stop it, and delete the files")
    parser.add_argument("--force", action="store_true", help="with --install: replace files that differ")


def run(arguments: argparse.Namespace) -> int:
    """Print a schedule, or put it in place; return 0."""
    from airgap_check.commands import delivery
    from airgap_check.scheduling import crontab, installation, unit

    if arguments.force and not arguments.install:
        raise UsageError("--force is for --install")
    task = _task(arguments)
    if arguments.cron:
        files, folder = {crontab.NAME: crontab.render(task)}, installation.CRON
    else:
        files, folder = unit.render(task), installation.UNITS
    if arguments.remove:
        _remove(arguments, folder, task, list(files))
    elif arguments.install:
        _install(arguments, folder, files, task)
    else:
        texts = files.values() if len(files) == 1 else (f"# {folder}/{name}\n{text}" for name, text in files.items())
        delivery.show("\n".join(texts))
    return 0


def _task(arguments: argparse.Namespace) -> Task:
    from airgap_check.scheduling import task

    every = int(arguments.every or _EVERY[arguments.watch])
    words = ["watch" if arguments.watch else "audit", "--quiet", "--every", f"{every}s"]
    for option, value in (("--policy", arguments.policy), ("--state", arguments.state), ("--alerts", arguments.alerts)):
        if value:
            words += [option, os.path.abspath(value)]
    writes = []
    for name, path in options.reports(arguments):
        words += ["--report", f"{name}={os.path.abspath(path)}"]
        writes.append(os.path.dirname(os.path.abspath(path)))
    return task.Task(
        argv=(*task.program(), *words),
        every=every,
        watches=arguments.watch,
        writes=tuple(dict.fromkeys(writes)),
        state=os.path.abspath(arguments.state or task.STATE),
        alerts=bool(arguments.alerts),
    )


def _install(arguments: argparse.Namespace, folder: str, files: dict[str, str], task: Task) -> None:
    from airgap_check import output
    from airgap_check.scheduling import installation, unit
    from airgap_check.scheduling.task import check_program

    check_program(task.argv)
    for _, path in options.reports(arguments):
        output.check(os.path.abspath(path))
    if arguments.state:
        _make_state(task.state)
    changed = installation.place(folder, files, force=arguments.force)
    for path in changed:
        _say(f"wrote {path}")
    if arguments.cron:
        return
    name = unit.enabled(task)
    orders = [("daemon-reload",), ("enable", name), ("restart", name)]
    if not installation.booted():
        _say("systemd does not run here; where it does: " + " && ".join(f"systemctl {' '.join(one)}" for one in orders))
        return
    for order in orders:
        installation.systemctl(*order)
    _say(f"{name} is enabled and started")


def _make_state(path: str) -> None:
    """Make the folder that is named as the memory: a unit cannot start without it."""
    from airgap_check.history import folder

    folder.prepare(path)


def _remove(arguments: argparse.Namespace, folder: str, task: Task, names: list[str]) -> None:
    from airgap_check.scheduling import installation, unit

    present = any(os.path.lexists(os.path.join(folder, name)) for name in names)
    if arguments.systemd and present and installation.booted():
        installation.systemctl("disable", "--now", unit.enabled(task))
    for path in installation.remove(folder, names):
        _say(f"removed {path}")
    if arguments.systemd and present and installation.booted():
        installation.systemctl("daemon-reload")
    if not present:
        _say("there is nothing to remove")


def _say(line: str) -> None:
    from airgap_check.commands import progress

    progress.tell(line)
