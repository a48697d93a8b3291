"""Times the verification of a 1 GB image archive against `sha256sum` on the same file, layers plain and gzipped."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import tarfile
import tempfile
import time
from statistics import median

from airgap_check.release.image import examine
from bench.figure import Figure
from tests.live.images import OCI, Layout, named, package, tar

_SIZE = 1 << 30  # bytes of the archive, about
_LAYERS = 4
_FILE = 256 << 10  # bytes of a file in a layer
_ROUNDS = 3
_AIM = 0.5  # of the speed of sha256sum


def figures() -> list[Figure]:
    """Measure both forms, interleaved with `sha256sum`."""
    return [_figure(packing) for packing in ("", "+gzip")]


def _figure(packing: str) -> Figure:
    with tempfile.TemporaryDirectory(prefix="airgap-check-bench-") as folder:
        path = os.path.join(folder, "image.tar")
        _write(path, packing)
        theirs, ours = [], []
        for _ in range(_ROUNDS):
            began = time.monotonic()
            subprocess.run(["sha256sum", path], check=True, stdout=subprocess.DEVNULL)
            theirs.append(time.monotonic() - began)
            began = time.monotonic()
            seen = examine(path)
            ours.append(time.monotonic() - began)
            wrong = [found for found in seen.findings if found.outcome != "passed" and found.aspect != "image-platform"]
            assert not wrong, wrong
            assert not seen.incomplete, seen.incomplete
            assert seen.images[0].packages
        size = os.path.getsize(path)
    detail = f"{size / 1e6:,.0f} MB: {median(ours):.2f} s / {median(theirs):.2f} s"
    what = f"image archive, {'gzipped' if packing else 'plain'} layers / sha256sum, speed"
    return Figure(what, median(theirs) / median(ours), "x", _AIM, detail, least=True)


def _write(path: str, packing: str) -> None:
    """Write an archive of an image with layers of random files, as large to send as they are to keep."""
    layout = Layout()
    descriptors, diff_ids = [], []
    for number in range(_LAYERS):
        entries = [(f"usr/lib/{number}/{count}.bin", os.urandom(_FILE)) for count in range(_SIZE // _LAYERS // _FILE)]
        entries.append((f"usr/lib/{number}/node_modules/pg/package.json", package("pg", "8.16.3")))
        content = tar(entries)
        diff_ids.append(f"sha256:{hashlib.sha256(content).hexdigest()}")
        packed = gzip.compress(content, compresslevel=1) if packing else content
        descriptors.append(layout.add(packed, f"{OCI}.layer.v1.tar{packing}"))
    stated = {"rootfs": {"type": "layers", "diff_ids": diff_ids}}
    layout.index(layout.image([], changes=stated, manifest={"layers": descriptors}, **named()))
    with open(path, "wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in sorted(layout.files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
