"""Makes small images that are real: an OCI layout with layers, from which skopeo makes every other form.

``Layout`` holds the files of a layout in memory, so that a test can change one thing and seal what lies above it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

OCI = "application/vnd.oci.image"
REFERENCE = "registry.bank.example/objectos/runtime:1.4.0"
MODULES = "usr/local/lib/node_modules"

Entry = tuple[str, bytes | str]  # a name, and content, or where a link leads; names that end in / are folders


def package(name: str, version: str, **more: object) -> bytes:
    return json.dumps({"name": name, "version": version, **more}).encode()


LOWER: tuple[Entry, ...] = (
    ("etc/", b""),
    ("etc/os-release", b'ID=debian\nVERSION_ID="12"\n'),
    ("bin/sh", b"\x7fELF" + bytes(5000)),
    (f"{MODULES}/pg/package.json", package("pg", "8.11.0")),
    (f"{MODULES}/mysql2/package.json", package("mysql2", "3.9.0")),
    (f"{MODULES}/left-pad/package.json", package("left-pad", "1.3.0")),
)
UPPER: tuple[Entry, ...] = (
    (f"{MODULES}/@objectstack/cli/package.json", package("@objectstack/cli", "17.4.0", engines={"node": ">=22"})),
    (f"{MODULES}/pg/package.json", package("pg", "8.16.3")),
    (f"{MODULES}/.wh.mysql2", b""),
    ("usr/local/bin/os", "../lib/node_modules/@objectstack/cli/bin/run.js"),
)


def tar(entries: Iterable[Entry], form: int = tarfile.GNU_FORMAT) -> bytes:
    """Write an archive; text in place of content is the target of a link."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in entries:
            member = tarfile.TarInfo(name.rstrip("/"))
            if name.endswith("/"):
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
            else:
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return buffer.getvalue()


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Layout:
    """An OCI layout as a mapping of names to bytes."""

    files: dict[str, bytes] = field(default_factory=dict)

    def add(self, content: bytes, kind: str, **more: object) -> dict[str, Any]:
        """Add a blob and return its descriptor."""
        self.files[f"blobs/{digest(content).replace(':', '/')}"] = content
        return {"mediaType": kind, "digest": digest(content), "size": len(content), **more}

    def document(self, content: object, kind: str, **more: object) -> dict[str, Any]:
        """Add a document and return its descriptor."""
        return self.add(json.dumps(content).encode(), kind, **more)

    def image(
        self,
        layers: Iterable[tuple[bytes, str]],
        *,
        architecture: str = "amd64",
        changes: Mapping[str, Any] | None = None,
        manifest: Mapping[str, Any] | None = None,
        **more: object,
    ) -> dict[str, Any]:
        """Add an image of layers, each with how it is packed, and return its descriptor.

        ``changes`` are made to the configuration, ``manifest`` to the manifest, before they are sealed.
        """
        layers = list(layers)
        described = [
            self.add(gzip.compress(content, mtime=0) if how else content, f"{OCI}.layer.v1.tar{how}")
            for content, how in layers
        ]
        stated = {
            "created": "2026-11-20T10:00:00Z",
            "architecture": architecture,
            "os": "linux",
            "config": {
                "Env": ["PATH=/usr/local/bin:/usr/bin", "NODE_ENV=production", "OS_CLOUD_URL=off"],
                "User": "node",
                "WorkingDir": "/srv/app",
                "Entrypoint": ["docker-entrypoint.sh"],
                "Cmd": ["os", "start"],
            },
            "rootfs": {"type": "layers", "diff_ids": [digest(content) for content, _ in layers]},
            **(changes or {}),
        }
        body = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": self.document(stated, f"{OCI}.config.v1+json"),
            "layers": described,
            **(manifest or {}),
        }
        return self.document(body, f"{OCI}.manifest.v1+json", **more)

    def index(self, *descriptors: Mapping[str, Any]) -> Layout:
        """Write the top of the layout."""
        self.files["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
        self.files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": descriptors}).encode()
        return self

    def read(self, name: str) -> Any:
        """Read a document; ``sha256:...`` names a blob."""
        return json.loads(self.files[f"blobs/{name.replace(':', '/')}" if ":" in name else name])

    def saved(self) -> Layout:
        """Add the `manifest.json` of Docker 25, for the one image of this layout."""
        top = self.read("index.json")["manifests"][0]
        manifest = self.read(top["digest"])
        name = [value for value in top["annotations"].values() if "/" in value]
        paths = [f"blobs/{part['digest'].replace(':', '/')}" for part in (manifest["config"], *manifest["layers"])]
        self.files["manifest.json"] = json.dumps([{"Config": paths[0], "RepoTags": name, "Layers": paths[1:]}]).encode()
        return self

    def write(self, folder: Path) -> Path:
        """Write the layout as a folder."""
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder

    def archive(self) -> bytes:
        """Write the layout as an archive."""
        return tar(sorted(self.files.items()))


def named(reference: str = REFERENCE) -> dict[str, Any]:
    return {"annotations": {"org.opencontainers.image.ref.name": reference}}


def runtime(**options: Any) -> Layout:
    """Make a layout of one image with the runtime in it, one layer gzipped, one plain."""
    layout = Layout()
    return layout.index(layout.image([(tar(LOWER), "+gzip"), (tar(UPPER), "")], **{**named(), **options}))


def skopeo(*arguments: str) -> None:
    """Run skopeo where there is no network; both ends are files. Needs root."""
    done = subprocess.run(["unshare", "--net", "skopeo", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
