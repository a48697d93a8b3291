"""Judges an offline release bundle, and seals one: what `airgap-check bundle` does."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from airgap_check import audit, engine, output, snapshot
from airgap_check.collectors import bundle
from airgap_check.objectos.derive import for_bundle
from airgap_check.release import checksums, integrity, seal
from airgap_check.release.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from airgap_check.plan import Plan
    from airgap_check.release.seal import PublicKey


class Sealed(NamedTuple):
    """What was sealed: how many files, and the key that verifies it."""

    files: int
    key: PublicKey


def run(
    plan: Plan,
    path: str,
    key: PublicKey | None,
    clock: Callable[[], datetime],
    progress: Callable[[str], None],
) -> audit.Done:
    """Examine and judge the bundle in a folder. Raises `UsageError`."""
    rules, given = audit.load(plan)
    inspection = audit.begin(plan, clock())
    progress("examining the bundle")
    examined = bundle.collect(path, key, time.monotonic() + plan.max_time)
    policy = given or for_bundle(examined)
    inspection = audit.conclude(inspection, policy, [examined, snapshot.trust(policy)], clock())
    inspection = replace(inspection, source="bundle")
    progress("judging")
    return audit.Done(plan, inspection, engine.judge(inspection, rules, policy, plan.terms), policy, rules)


def seal_folder(path: str, key_path: str, progress: Callable[[str], None]) -> Sealed:
    """Write the checksums of all files of a folder into it, and a signature over them. Raises `UsageError`."""
    from airgap_check.errors import UsageError

    key = seal.private_key(key_path)
    folder = Folder(path)
    if os.path.realpath(key_path).startswith(os.path.join(os.path.realpath(path), "")):
        raise UsageError(f"{key_path}: the private key lies in the bundle, and would be delivered with it")
    names = integrity.sealable(folder)
    progress("sealing")
    found = integrity.digests(folder, names, None)
    digests = {name: digest for name, digest in found.digests.items() if digest}
    if found.failures or len(digests) < len(names):
        raise UsageError("\n".join(f"cannot seal this: {text}" for text in found.failures or ["a file has gone"]))
    content = checksums.write(digests)
    for name, written in ((checksums.NAME, content), (checksums.SIGNATURE, seal.sign(key, content))):
        output.write(folder.at(name), [written])
        os.chmod(folder.at(name), 0o644)
    return Sealed(len(digests), key.public_key())
