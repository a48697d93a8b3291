"""A task as a file for /etc/cron.d: one line of crontab(5), with the user that it runs as."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from airgap_check.errors import UsageError
from airgap_check.scheduling.task import check_words

if TYPE_CHECKING:
    from airgap_check.scheduling.task import Task

NAME = "airgap-check"  # cron passes over names with a dot in them
_LONGEST = 900  # characters of a command; cron's own limit is 998, and it cuts what is longer without a word


def render(task: Task) -> str:
    """Return the file. Raises `UsageError` for what cron cannot do."""
    if task.watches:
        raise UsageError("cron keeps no service running: --watch needs --systemd")
    check_words(task.argv)
    # A percent sign is the end of the command to cron, in quotes as well (crontab(5)).
    command = shlex.join(task.argv).replace("%", "\\%")
    if len(command) > _LONGEST:
        raise UsageError(f"the command has {len(command)} characters; cron takes {_LONGEST}")
    return (
        "# Written by airgap-check schedule. What it prints, nothing while all is well, goes to root by mail.\n"
        "SHELL=/bin/sh\n"
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
        f"{_times(task.every)} root {command}\n"
    )


def _times(seconds: int) -> str:
    """Return the five fields. Raises `UsageError` for a distance that would not be the same all day long."""
    minutes, rest = divmod(seconds, 60)
    if not rest and minutes and not 60 % minutes:
        return {1: "* * * * *", 60: "0 * * * *"}.get(minutes, f"*/{minutes} * * * *")
    hours, rest = divmod(seconds, 3600)
    if not rest and hours and not 24 % hours:
        return "0 0 * * *" if hours == 24 else f"0 */{hours} * * *"
    raise UsageError("cron counts in minutes that divide an hour, and in hours that divide a day: try 5m, 30m, 1h, 6h")
