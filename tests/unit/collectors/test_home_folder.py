"""The home folder of a process is that of its user, whatever the process calls itself."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest

from airgap_check.collectors.home_folder import home_folder

_RENAMED = "import sys; open('/proc/self/comm', 'w').write(sys.argv[1]); print(flush=True); sys.stdin.read()"


@pytest.mark.parametrize("sign", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_a_name_that_looks_like_another_user_is_only_a_name(sign: str) -> None:
    mine = pwd.getpwuid(os.geteuid())
    other = next(one.pw_uid for one in pwd.getpwall() if one.pw_uid != mine.pw_uid and one.pw_dir != mine.pw_dir)
    argv = [sys.executable, "-c", _RENAMED, f"{sign}Uid:\t{other} {other}"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        assert home_folder(process.pid) == mine.pw_dir
        process.communicate()
