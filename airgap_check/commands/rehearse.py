"""``airgap-check rehearse``: run a command in a sealed world that answers like the internet; judge what it does."""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec
from ipaddress import ip_address
from typing import TYPE_CHECKING

from airgap_check.commands import options
from airgap_check.commands.audit import keep_silent
from airgap_check.errors import UsageError

if TYPE_CHECKING:
    from airgap_check.evidence.fact import Workload
    from airgap_check.rehearsal.wish import Wish

HELP = "run a command in a sealed world and judge what it reaches for: -- COMMAND"
WORLDS = ("accept", "nxdomain", "drop", "reject")  # as rehearsal.wish.World, whose module is heavy; a test compares
_SECONDS, _DRIVEN_SECONDS = 120.0, 600.0  # at most, without and with a driver that says when it is done
_ANSWERING = ("accept", "nxdomain")  # worlds in which somebody is there to let anybody through
_HERE = "127.0.0.1"
_LIBRARIES = ("cryptography", "h11", "h2")  # what the world speaks with


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("argument", metavar="COMMAND", nargs="*", help="the command, after --, with its arguments")
    options.add_judging(parser)
    parser.add_argument(
        "--for", metavar="DURATION", type=options.duration, dest="seconds",
        help="how long to watch (default: until the command ends or its driver is done, 2m at most, 10m with a driver)",
    )  # fmt: skip
    parser.add_argument(
        "--world",
        metavar="KIND",
        choices=WORLDS,
        default="accept",
        help="how it answers: accept (default), nxdomain (no name exists), drop, reject",
    )
    parser.add_argument(
        "--drive", metavar="DRIVER",
        help="exercise the command: objectos (or objectos:PACKAGE.json to install that too), http:FILE with requests, "
        "or the path of a program",
    )  # fmt: skip
    parser.add_argument(
        "--browser", action="store_true",
        help="open the pages that it serves in headless Chromium, and see what they would fetch from elsewhere",
    )  # fmt: skip
    parser.add_argument(
        "--env", metavar="NAME=VALUE", action="append", default=[],
        help="set a variable for the command; NAME alone takes it away (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--publish", metavar="PORT", action="append", default=[], type=_port,
        help=f"let this machine reach the command's port, at the same one of {_HERE} (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--allow-through", metavar="NAME=HOST:PORT", action="append", default=[],
        help="connect a name that the policy allows (or NAME:PORT) to a service of this machine (repeatable)",
    )  # fmt: skip
    parser.add_argument("--no-trust", action="store_true", help="let the command not trust the world's certificates")
    parser.add_argument(
        "--as", metavar="KIND:NAME", dest="workload",
        help="judge it as this unit or container (default: as the policy's scope.subject)",
    )  # fmt: skip
    parser.add_argument(
        "--suggest-policy", metavar="FILE", help="write a policy of what was reached, for a human to cut down"
    )
    parser.add_argument(
        "--no-self-test", action="store_true", help="make no attempts of our own to show that the observers see"
    )


def run(arguments: argparse.Namespace) -> int:
    """Rehearse the command, judge it, and return the verdict's exit code."""
    from airgap_check import output, rehearsal
    from airgap_check.commands import delivery, progress, stopping
    from airgap_check.plan import Watcher

    delivery.check(arguments)
    stage = rehearsal.Stage(options.plan(arguments), _wish(arguments), arguments.clock)
    with stopping.on_signals() as stop, progress.shown(quiet=arguments.quiet) as show:
        done = stage.play(Watcher(arguments.clock, show, keep_silent, keep_silent, stop))
    if arguments.suggest_policy:
        from airgap_check.policy import suggestion

        output.write(arguments.suggest_policy, [suggestion.suggest(done.report, done.policy).encode()])
    return delivery.deliver(arguments, done)


def _wish(arguments: argparse.Namespace) -> Wish:
    """Read what is to be rehearsed, and how. Raises `UsageError`."""
    from airgap_check.drivers import chromium, driver
    from airgap_check.rehearsal.wish import Wish
    from airgap_check.world import publication

    if not arguments.argument:
        raise UsageError("there is no command to rehearse: write it after --")
    if missing := [library for library in _LIBRARIES if find_spec(library) is None]:
        raise UsageError(f"{', '.join(missing)} cannot be imported: pip install 'airgap-check[rehearse]'")
    if arguments.browser:
        chromium.find()
    drive = driver.prepare(arguments.drive) if arguments.drive else None
    through = dict(map(_through, arguments.allow_through))
    if through and arguments.world not in _ANSWERING:
        raise UsageError("--allow-through needs --world accept or nxdomain: in the others nobody answers")
    exercised = drive is not None or arguments.browser
    return Wish(
        command=tuple(arguments.argument),
        environ=_environ(arguments.env),
        world=arguments.world,
        seconds=arguments.seconds or (_DRIVEN_SECONDS if exercised else _SECONDS),
        lasting=arguments.seconds is not None,
        driver=drive,
        browser=arguments.browser,
        trusted=not arguments.no_trust,
        through=through,
        published=publication.listen(arguments.publish),
        shown=not arguments.quiet,
        prove=not arguments.no_self_test,
        workload=_workload(arguments.workload) if arguments.workload else None,
    )


def _environ(changes: list[str]) -> dict[str, str]:
    environ = dict(os.environ)
    for change in changes:
        name, equals, value = change.partition("=")
        if not name:
            raise UsageError(f"--env {change}: write NAME=VALUE")
        if equals:
            environ[name] = value
        else:
            environ.pop(name, None)
    return environ


def _port(text: str) -> int:
    if not _is_port(text):
        raise argparse.ArgumentTypeError(f"not a port: {text}")
    return int(text)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text[:6]) < 1 << 16


def _workload(text: str) -> Workload:
    from airgap_check.evidence.fact import Workload

    kind, _, name = text.partition(":")
    if kind == "unit" and name:
        return Workload(kind="unit", id=name, name=name)
    if kind == "container" and name:
        return Workload(kind="container", id=name, name=name)
    raise UsageError(f"--as {text}: write unit:NAME or container:NAME")


def _through(text: str) -> tuple[str, str]:
    """Read ``NAME=HOST:PORT``, where HOST is this very machine. Raises `UsageError`."""
    from airgap_check.domain import normal
    from airgap_check.kernel import rtnetlink

    name, _, place = text.partition("=")
    host, _, port = place.rpartition(":")
    host = _HERE if host == "localhost" else host.strip("[]")
    if not name or not host or not _is_port(port):
        raise UsageError(f"--allow-through {text}: write NAME=HOST:PORT")
    try:
        address = ip_address(host)
    except ValueError as error:
        raise UsageError(
            f"--allow-through {text}: {host} is no address; a real service must be on this machine"
        ) from error
    if not address.is_loopback and address.packed not in {one.address for one in rtnetlink.addresses()}:
        raise UsageError(f"--allow-through {text}: {host} is not this machine, and nothing may leave it")
    return normal(name), f"{host}:{port}"
