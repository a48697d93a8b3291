"""``airgap-check schedule``: print, install or remove what runs this tool again and again."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from airgap_check.commands import options
from airgap_check.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airgap_check.scheduling.task import Task

HELP = "print, or install, a hardened systemd timer or service, or a crontab line"
EXIT_CODES = options.WITHOUT_VERDICT
_EVERY = {True: 3600.0, False: 300.0}  # seconds: reports of a watch, audits
_LONGEST = 300.0  # seconds of collecting, which the time limits of our units leave room for
_PATHS = ("policy", "rules", "baseline", "deployment", "state", "alerts", "record", "sign", "pseudonymize")
_SWITCHES = ("accept_derived", "no_resolve", "database")


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments: those of the schedule, and those of the runs."""
    by = parser.add_mutually_exclusive_group(required=True)
    by.add_argument("--systemd", action="store_true", help="units of systemd")
    by.add_argument("--cron", action="store_true", help="a line for /etc/cron.d")
    parser.add_argument("--watch", action="store_true", help="a service that watches all the time")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--install", action="store_true", help="write the files, and start what they describe")
    what.add_argument("--remove", action="store_true", help="stop it, and delete the files")
    parser.add_argument("--force", action="store_true", help="with --install: replace files that differ")
    options.add_terms(parser)
    options.add_keeping(parser)
    options.add_collecting(parser)
    parser.set_defaults(fail_on=None, max_time=None)  # what is not said is left to the runs


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
    from airgap_check import archive
    from airgap_check.scheduling import task

    record = arguments.record and os.path.abspath(arguments.record)
    if record and (archive.form_of(record) or (os.path.lexists(record) and not os.path.isdir(record))):
        raise UsageError(f"--record {arguments.record}: name a folder, where each run leaves an archive of its own")
    if arguments.sign and not record:
        raise UsageError("--sign signs archives: add --record FOLDER")
    if arguments.max_time and arguments.max_time > _LONGEST:
        raise UsageError(f"--max-time: at most {task.spelled(int(_LONGEST))} in a schedule")
    every = int(arguments.every or _EVERY[arguments.watch])
    folders = [os.path.dirname(os.path.abspath(path)) for _, path in options.reports(arguments)]
    return task.Task(
        argv=(*task.program(), *_words(arguments, task.spelled(every))),
        every=every,
        watches=arguments.watch,
        writes=tuple(dict.fromkeys([*folders, *([record] if record else [])])),
        state=os.path.abspath(arguments.state or task.STATE),
        alerts=bool(arguments.alerts),
    )


def _words(arguments: argparse.Namespace, every: str) -> Iterator[str]:
    """Yield the command line of a run; its working directory is not ours, so that every path is absolute."""
    from airgap_check.scheduling.task import spelled

    yield from ("watch" if arguments.watch else "audit", "--quiet", "--every", every)
    for name in _PATHS:
        given = getattr(arguments, name)
        for path in given if isinstance(given, list) else [given] if given else []:
            yield from (f"--{name}", os.path.abspath(path))
    for name, path in options.reports(arguments):
        yield from ("--report", f"{name}={os.path.abspath(path)}")
    if arguments.fail_on:
        yield from ("--fail-on", arguments.fail_on)
    if arguments.max_time:
        yield from ("--max-time", spelled(int(arguments.max_time)))
    for name in _SWITCHES:
        if getattr(arguments, name):
            yield f"--{name.replace('_', '-')}"


def _install(arguments: argparse.Namespace, folder: str, files: Mapping[str, str], task: Task) -> None:
    from airgap_check.history import folder as memory
    from airgap_check.scheduling import installation, unit
    from airgap_check.scheduling.task import STATE, check_program

    check_program(task.argv)
    # A unit cannot start without the folders that it writes to.
    for path in [*([task.state] if task.state != STATE else []), *([arguments.record] if arguments.record else [])]:
        memory.prepare(os.path.abspath(path))
    _rehearse(arguments, task)
    before = installation.place(folder, files, force=arguments.force)
    for path in before:
        _say(f"wrote {path}")
    if arguments.cron:
        return
    name = unit.enabled(task)
    orders = [("daemon-reload",), ("enable", name), ("restart", name)]
    if not installation.booted():
        _say("systemd does not run here; where it does: " + " && ".join(f"systemctl {' '.join(one)}" for one in orders))
        return
    with ExitStack() as undo:
        undo.callback(_take_back, before, name)
        for order in orders:
            installation.systemctl(*order)
        undo.pop_all()
    _say(f"{name} is enabled and started")


def _rehearse(arguments: argparse.Namespace, task: Task) -> None:
    """Refuse, before anything is written, a run that would be refused each time. Raises `UsageError`."""
    import time

    from airgap_check import audit as auditing
    from airgap_check.collectors import deployment
    from airgap_check.commands import audit, delivery, watch
    from airgap_check.commands.alarm import Alarm

    parser = argparse.ArgumentParser()
    (watch if task.watches else audit).add(parser)
    words = list(_words(arguments, task.distance))
    run = argparse.Namespace(argv=words, clock=arguments.clock, verbose=False, no_color=True)
    parser.parse_args(words[1:], run)
    delivery.check(run)
    plan = options.plan(run, watches=task.watches)
    Alarm(run, plan, _say)
    if plan.deployment:
        deployment.collect(plan.deployment, time.monotonic() + plan.max_time)
    _, policy = auditing.load(plan)
    if policy is None and not arguments.accept_derived:
        _say("there is no policy yet: until there is one every run is inconclusive (airgap-check init drafts it)")


def _take_back(before: Mapping[str, bytes | None], name: str) -> None:
    """Leave things as they were before an installation that failed."""
    from airgap_check.scheduling import installation

    fresh = bool(before) and all(content is None for content in before.values())
    if fresh:
        with suppress(UsageError):
            installation.systemctl("disable", "--now", name)
    installation.put_back(before)
    with suppress(UsageError):
        installation.systemctl("daemon-reload")
        if before and not fresh:
            installation.systemctl("restart", name)
    if before:
        _say("it could not be started: the files are " + ("gone again" if fresh else "as they were"))


def _remove(arguments: argparse.Namespace, folder: str, task: Task, names: list[str]) -> None:
    from airgap_check.scheduling import installation, unit

    present = installation.ours(folder, names)
    if not present:
        others = [name for name in unit.NAMES if arguments.systemd and os.path.lexists(os.path.join(folder, name))]
        hint = f"; {others[0]} is there: {'leave out' if arguments.watch else 'add'} --watch" if others else ""
        _say(f"there is nothing to remove{hint}")
        return
    managed = arguments.systemd and installation.booted()
    if managed:
        installation.systemctl("disable", "--now", unit.enabled(task))
    for path in installation.remove(folder, names):
        _say(f"removed {path}")
    if managed:
        installation.systemctl("daemon-reload")


def _say(line: str) -> None:
    from airgap_check.commands import progress

    progress.tell(line)
