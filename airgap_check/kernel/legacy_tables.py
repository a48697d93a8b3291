"""Reads the counters of legacy iptables, whose rules nftables does not know, where a namespace has such tables.

A table comes into being when somebody asks for it, and asking loads a module: so only those that the kernel lists
already are read, by the one program that can (iptables-save(8)), which is told not to load anything.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING

from airgap_check import redact
from airgap_check.kernel.drop_counter import DropCounter, Firewall, reachable

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

FAMILIES = {"iptables": "ip_tables_names", "ip6tables": "ip6_tables_names"}
_HERE = "/proc/thread-self/net/"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_HOOKED = ("OUTPUT", "FORWARD", "POSTROUTING")
_REFUSING = {"DROP": "drop", "REJECT": "reject"}
_LONGEST = 1 << 24
_SECONDS = 10
_POLICY = re.compile(r":(\S+) (\S+) \[(\d{1,20}):\d{1,20}\]")
_RULE = re.compile(r"\[(\d{1,20}):\d{1,20}\] -A (\S+)(.*)")


def in_use(family: str) -> bool:
    """Tell whether the calling thread's namespace has tables of ``iptables`` or ``ip6tables``; raises OSError."""
    try:
        with open(_HERE + FAMILIES[family], "rb") as file:
            return bool(file.read(64).strip())
    except FileNotFoundError:
        return False


def read(family: str) -> Firewall:
    """Return the counters of refusals in the calling thread's namespace.

    Raises OSError: FileNotFoundError where the program is missing, ETIMEDOUT, E2BIG, EIO when it fails.
    """
    argv = _program(family)
    # The program starts in the network namespace of the thread that starts it; it may load no module (-M).
    with subprocess.Popen(  # noqa: S603  (a fixed argv, from the system's own folders)
        [*argv, "-c", "-M", "/bin/true"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PATH": _PATH, "LANG": "C"},
        process_group=0,  # Ctrl-C on a terminal is for us
    ) as process:
        alarm = threading.Timer(_SECONDS, process.kill)
        alarm.start()
        try:
            assert process.stdout is not None
            text = process.stdout.read(_LONGEST + 1)
            if len(text) > _LONGEST:
                process.kill()
                raise OSError(errno.E2BIG, "its tables are too long")
            status = process.wait()
        finally:
            alarm.cancel()
    if status:
        raise OSError(errno.ETIMEDOUT if status < 0 else errno.EIO, f"{os.path.basename(argv[0])} ended with {status}")
    return parse(family, text.decode(errors="replace"))


def _program(family: str) -> list[str]:
    found = shutil.which(f"{family}-legacy-save", path=_PATH)
    if found:
        return [found]
    found = shutil.which("xtables-legacy-multi", path=_PATH)
    if found:
        return [found, f"{family}-save"]
    raise FileNotFoundError(errno.ENOENT, f"{family}-legacy-save is not installed")


def parse(family: str, text: str) -> Firewall:
    """Read the output of ``iptables-save -c``; lines that make no sense are passed over."""
    counters: dict[Hashable, DropCounter] = {}
    uncounted = 0
    for table, lines in _tables(text):
        counters |= _table(family, table, lines)
    return Firewall(counters, uncounted)


def _tables(text: str) -> Iterator[tuple[str, list[str]]]:
    table, lines = "", list[str]()
    for line in text.split("\n"):
        if line.startswith("*"):
            table, lines = line[1:], []
        elif line == "COMMIT":
            yield table, lines
        else:
            lines.append(line)


def _table(family: str, table: str, lines: list[str]) -> dict[Hashable, DropCounter]:
    """Return the counters of one table: a rule is known by its chain and text, and which of several alike it is."""
    policies = [match for line in lines if (match := _POLICY.fullmatch(line))]
    rules = [match for line in lines if (match := _RULE.fullmatch(line))]
    chains = {match[1] for match in policies}
    ways: dict[str, set[str]] = {}
    for match in rules:
        ways.setdefault(match[2], set()).add(_target(match[3]))
    reached = reachable([name for name in _HOOKED if name in chains], lambda name: ways.get(name, set()) & chains)
    where = f"{family} {redact.printable(table)}"
    found: dict[Hashable, DropCounter] = {
        (family, table, match[1]): DropCounter(f"{where} {match[1]} policy drop", int(match[3]))
        for match in policies
        if match[1] in reached and match[2] == "DROP"
    }
    numbers: dict[str, int] = {}
    alike: dict[tuple[str, str], int] = {}
    for match in rules:
        chain, specification = match[2], match[3]
        numbers[chain] = numbers.get(chain, 0) + 1
        target = _target(specification)
        if chain in reached and target in _REFUSING:
            alike[chain, specification] = alike.get((chain, specification), 0) + 1
            name = f"{where} {redact.printable(chain)} rule {numbers[chain]} {target}"
            found[family, table, chain, specification, alike[chain, specification]] = DropCounter(name, int(match[1]))
    return found


def _target(specification: str) -> str:
    """Return the target or chain that a rule names; empty where it has none, and only counts."""
    try:
        words = shlex.split(specification)
    except ValueError:
        return ""
    for number in range(len(words) - 2, -1, -1):
        if words[number] in {"-j", "-g"} and not words[number + 1].startswith("-"):
            return words[number + 1]
    return ""
