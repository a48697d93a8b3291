"""Finds the home folder of a process that was not given HOME, where Node.js does: in the passwd file of its root."""

from __future__ import annotations

from airgap_check.kernel import procfs

_LIMIT = 1 << 22


def home_folder(pid: int) -> str | None:
    """Return the home folder that /etc/passwd gives a process's user, None where it has none; raises OSError.

    Source: getpwuid_r(3), which `os.homedir()` asks; other name services than the file are not asked for it here.
    """
    status = procfs.read(pid, "status").decode(errors="replace")
    # A thread chooses its name, which may hold whatever Python would end a line at but "\n".
    user = next((line.split()[2] for line in status.split("\n") if line.startswith("Uid:")), "")
    try:
        content = procfs.read_in_root(pid, "/etc/passwd", _LIMIT)
    except FileNotFoundError:
        return None
    for line in content.decode(errors="replace").split("\n"):
        fields = line.split(":")
        if len(fields) > 5 and fields[2] == user and fields[5].startswith("/"):
            return fields[5]
    return None
