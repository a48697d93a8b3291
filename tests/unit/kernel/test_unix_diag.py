from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from airgap_check.kernel import unix_diag

if TYPE_CHECKING:
    from pathlib import Path


def test_a_bound_file_is_known_by_its_inode_until_its_socket_closes(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
        inode = path.stat().st_ino & 0xFFFFFFFF
        assert inode in {one for one, _ in unix_diag.bound_files()}
    assert inode not in {one for one, _ in unix_diag.bound_files()}
