"""States what an artifact of a bundle is, where it leads, and what is wrong with it or with the module beside it."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from airgap_check.evidence.asset import Artifact, Reference
from airgap_check.redact import printable
from airgap_check.release.remark import check, either

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.evidence import AnyRecord
    from airgap_check.evidence.asset import Check
    from airgap_check.objectos.artifact import Scan
    from airgap_check.release.folder import Folder

# What the walk over an artifact can complain of; each is a rule, `bundle.artifact-...`.
FLAWS = ("secret-inside", "build-path", "plugin-state")
_MODULE = re.compile(r"objectstack-runtime\.([0-9a-f]{16})\.mjs\Z")


def describe(folder: Folder, name: str, scan: Scan) -> Iterator[AnyRecord]:
    """Yield the records of one artifact."""
    yield Artifact(
        path=printable(name),
        sha256=scan.sha256,
        size=scan.size,
        name=scan.name,
        version=scan.version,
        protocol=scan.protocol,
        state=scan.state,
        reason=scan.reason,
        line=scan.line,
        column=scan.column,
        seen="bundle",
    )
    yield _form(name, scan)
    if scan.state == "unreadable":
        return
    for found in scan.found:
        yield Reference(path=printable(name), seen="bundle", **found._asdict())
    for flaw in scan.flaws:
        yield check(
            f"artifact-{flaw.aspect}", posixpath.basename(name), flaw.outcome, flaw.detail, path=name,
            pointer=flaw.pointer,
        )  # fmt: skip
    if scan.state == "intact" and not scan.incomplete:
        for aspect in set(FLAWS) - {flaw.aspect for flaw in scan.flaws}:
            yield check(f"artifact-{aspect}", posixpath.basename(name), "passed", path=name)
    if scan.runtime_module:
        yield _module(folder, name, scan.runtime_module)


def _form(name: str, scan: Scan) -> Check:
    if scan.state == "intact":
        return check("artifact-form", posixpath.basename(name), "passed", path=name)
    if scan.state == "unreadable":
        return check("artifact-form", posixpath.basename(name), "unknown", scan.reason, path=name)
    where = f"line {scan.line}, column {scan.column}: " if scan.line else ""
    return check(
        "artifact-form", posixpath.basename(name), "failed", f"{where}{scan.reason}", path=name, line=scan.line
    )


def _module(folder: Folder, name: str, module: str) -> Check:
    """Say whether the program that an artifact names lies beside it, and is the one that its name says."""
    beside = posixpath.join(posixpath.dirname(name), module)
    called = _MODULE.match(module)
    if called is None:
        detail = f"{module} is no name of a runtime module"
        return check("artifact-module", posixpath.basename(name), "failed", detail, path=name)
    if beside not in folder.files:
        detail = f"{module} is not beside the artifact"
        return check("artifact-module", posixpath.basename(name), "failed", detail, path=name)
    try:
        digest = folder.digest(beside, None)
    except OSError as error:
        return check("artifact-module", module, "unknown", f"not read: {error.strerror}", path=beside)
    detail = f"its content has the digest {digest[:16]}..."
    return check("artifact-module", module, either(digest.startswith(called[1])), detail, path=beside)
