"""The options that the judging commands share, and the plan that they make."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from airgap_check.errors import UsageError
from airgap_check.reporters import FORMATS

if TYPE_CHECKING:
    from airgap_check.plan import Observing, Plan

# As finding.SEVERITIES, whose module would cost every --help the import of msgspec; a test holds the two together.
SEVERITIES = ("low", "medium", "high", "critical")
WITHOUT_VERDICT = "exit codes: 0 done, 2 bad usage or an invalid file, 3 internal error"
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def add_policy(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose policy and rules."""
    parser.add_argument(
        "--policy", metavar="FILE", help="the site's policy (default: /etc/airgap-check/policy.yaml, else derived)"
    )
    parser.add_argument(
        "--rules",
        metavar="DIR",
        action="append",
        default=[],
        help="a folder of more rules, GROUP/NAME.yaml (repeatable)",
    )


def add_terms(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose what is judged by, and how strictly."""
    add_policy(parser)
    parser.add_argument(
        "--accept-derived", action="store_true", help="let a derived policy, which nobody approved, be compliant"
    )
    parser.add_argument(
        "--fail-on", metavar="SEVERITY", choices=SEVERITIES, default="high",
        help="the least severity that fails: low, medium, high (default), critical",
    )  # fmt: skip
    parser.add_argument(
        "--baseline", metavar="FILE", help="an earlier JSON report: what it has does not fail again, unless critical"
    )


def add_keeping(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose what is written to files."""
    parser.add_argument(
        "--report",
        metavar="NAME=FILE",
        action="append",
        default=[],
        help="write a report in a format, NAME, to a file too (repeatable)",
    )
    parser.add_argument(
        "--record", metavar="PATH",
        help="write the evidence for replay: JSON Lines; where PATH ends in .zip or .tar.zst an archive for verify; "
        "where it is a folder, an archive in it for each run",
    )  # fmt: skip
    parser.add_argument(
        "--sign", metavar="KEY", help="sign the archive that --record writes with this Ed25519 private key (keygen)"
    )
    parser.add_argument(
        "--pseudonymize", metavar="KEYFILE",
        help="replace addresses, names and users by pseudonyms that the holder of the key can reveal",
    )  # fmt: skip


def add_judging(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that ends in a verdict."""
    add_terms(parser)
    parser.add_argument(
        "--format", metavar="NAME", choices=FORMATS, default="console",
        help=f"what to print: {', '.join(FORMATS)} (default: console); with nagios exit codes are those of its plugins",
    )  # fmt: skip
    parser.add_argument(
        "--plain", action="store_true",
        help="print the console report for a screen reader: no colour, no table, one statement a line",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="print nothing when compliant, and no progress")
    add_keeping(parser)


def add_collecting(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that looks at this host."""
    parser.add_argument("--no-resolve", action="store_true", help="ask no name server, not even for allowlisted names")
    parser.add_argument(
        "--max-time", metavar="DURATION", type=duration, default=60.0, help="stop collecting after this (default: 60s)"
    )
    parser.add_argument(
        "--deployment", metavar="PATH", action="append", default=[],
        help="judge this compose file, Kubernetes manifest, unit, Dockerfile or folder of them too (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--database", action="store_true", help="read, and only read, rows of the business database that name endpoints"
    )
    parser.add_argument(
        "--state", metavar="DIR",
        help="the folder that remembers earlier runs (default: /var/lib/airgap-check as root, else none)",
    )  # fmt: skip
    parser.add_argument(
        "--every", metavar="DURATION", type=duration,
        help="how often runs repeat, and watch reports: a longer time in which nobody looked is a finding",
    )  # fmt: skip
    parser.add_argument(
        "--alerts", metavar="FILE",
        help="tell the destinations in this file what a run has changed; needs a state folder",
    )  # fmt: skip


def add_observing(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that watches while time passes."""
    parser.add_argument("--cgroup", metavar="DIR", help="observe this sub-tree of the cgroup2 hierarchy only")
    parser.add_argument(
        "--events", choices=["sockdiag"],
        help="also hear when sockets are destroyed, as a fallback where eBPF is not allowed; it slows busy hosts",
    )  # fmt: skip
    parser.add_argument(
        "--no-traffic", action="store_true", help="look at no packets: which names are asked for stays unknown"
    )
    parser.add_argument(
        "--no-self-test", action="store_true", help="make no attempts of our own to show that the observers see"
    )


def observing_only(arguments: argparse.Namespace) -> str | None:
    """Name an option that was given and says nothing without an observation."""
    given = {
        "--cgroup": arguments.cgroup, "--events": arguments.events, "--no-traffic": arguments.no_traffic,
        "--no-self-test": arguments.no_self_test,
    }  # fmt: skip
    return next((name for name, value in given.items() if value), None)


def duration(text: str) -> float:
    """Read ``30s``, ``10m`` or ``2h`` as seconds. Raises `argparse.ArgumentTypeError`."""
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not (number.isascii() and number.isdigit()) or not int(number[:9]):
        raise argparse.ArgumentTypeError(f"not a duration: {text} (write 30s, 10m or 2h)")
    return int(number[:9]) * _UNITS[unit]


def reports(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """Return the ``NAME=FILE`` pairs of ``--report``. Raises `UsageError`."""
    from airgap_check.yamlfile import suggest

    pairs = []
    for text in arguments.report:
        name, equals, path = text.partition("=")
        if not equals or not path:
            raise UsageError(f"--report {text}: write NAME=FILE, for instance json=report.json")
        if path == "-":
            raise UsageError(f"--report {text}: --format {name} is what writes to standard output")
        if name not in FORMATS:
            raise UsageError(f"--report {text}: no format {name}{suggest(name, FORMATS)}; one of: {', '.join(FORMATS)}")
        pairs.append((name, path))
    return pairs


def plan(arguments: argparse.Namespace, *, watches: bool = False, seconds: float | None = None) -> Plan:
    """Make the plan of a judging command out of the parsed arguments."""
    from airgap_check import baseline
    from airgap_check.engine import Terms
    from airgap_check.plan import Plan

    observing = _observing(arguments, seconds) if watches else None
    known = baseline.load(arguments.baseline) if arguments.baseline else None
    return Plan(
        policy=arguments.policy,
        rules=tuple(arguments.rules),
        terms=Terms(fail_on=arguments.fail_on, accept_derived=arguments.accept_derived, baseline=known),
        resolve=not getattr(arguments, "no_resolve", False),
        max_time=getattr(arguments, "max_time", 60.0),
        every_owner=arguments.record is not None,
        argv=tuple(arguments.argv),
        relaxed=_relaxed(arguments, watches=watches),
        observing=observing,
        deployment=tuple(getattr(arguments, "deployment", ())),
        database=getattr(arguments, "database", False),
        state=getattr(arguments, "state", None),
        every=getattr(arguments, "every", None),
    )


def _relaxed(arguments: argparse.Namespace, *, watches: bool) -> tuple[str, ...]:
    """Name the options that make the run see less than it could."""
    from airgap_check.redact import printable

    options = ("no_resolve", "no_traffic", "no_self_test")
    relaxed = [name.replace("_", "-") for name in options if getattr(arguments, name, False)]
    if watches and arguments.cgroup:
        relaxed.append(f"cgroup {printable(arguments.cgroup)}")
    return tuple(relaxed)


def _observing(arguments: argparse.Namespace, seconds: float | None) -> Observing:
    from airgap_check.plan import Observing

    return Observing(
        seconds=seconds,
        cgroup=arguments.cgroup,
        sockdiag=arguments.events == "sockdiag",
        traffic=not arguments.no_traffic,
        prove=not arguments.no_self_test,
    )
