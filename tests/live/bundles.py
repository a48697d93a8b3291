"""Makes a whole release bundle: an image that skopeo wrote, an artifact, and the texts that go with them; sealed."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airgap_check import cli
from tests.live import images

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

ARTIFACT = Path(__file__).parents[1] / "runtime" / "artifact.json"
REFERENCE = "registry.bank.example/objectstack:17.4.0"
IMAGE = "objectstack.oci.tar"

COMPOSE = f"""\
services:
  app:
    image: {REFERENCE}
    pull_policy: never
    env_file: .env
    ports: ["8080:8080"]
    volumes: ["./objectstack.json:/srv/app/objectstack.json:ro"]
"""
GUIDE = """\
# Database

PostgreSQL 15 or later. Create the role and the database before the first start:

    CREATE ROLE objectos LOGIN;
    CREATE DATABASE objectos OWNER objectos;
"""
TEMPLATE = """\
# Copy to .env, mode 0600, and fill in.
OS_CLOUD_URL=off
OS_ARTIFACT_PATH=/srv/app/objectstack.json
OS_DATABASE_URL=postgres://objectos:<password>@<host>:5432/objectos
AUTH_SECRET=CHANGE_ME
"""
CHECKLIST = """\
# Operations

## Upgrade
Verify the bundle, load the image, restart the service, look at its health.

## Rollback
Start the previous image with the previous artifact, restore the database if it was migrated.

## Backup
Dump the database every night and copy the uploads with it.

## Diagnostics
Collect the service's log and the output of os doctor.
"""


@dataclass
class Bundle:
    """A bundle in a folder, and the keys of its maker."""

    folder: Path
    key: Path
    public: Path

    def write(self, name: str, content: str | bytes) -> None:
        (self.folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    def change(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def seal(self) -> None:
        """Seal it anew, whatever the verdict."""
        assert run("bundle", str(self.folder), "--seal", str(self.key), "--quiet", "--format", "json")[0] in {0, 1, 4}


def run(*argv: str) -> tuple[int, str]:
    """Run the command line and return the exit code and what stood on standard output."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(io.StringIO()):
        code = cli.main(list(argv))
    return code, shown.getvalue()


def keys(folder: Path, name: str = "maker") -> tuple[Path, Path]:
    """Make a pair of keys with openssl."""
    key, public = folder / f"{name}.pem", folder / f"{name}.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    key.chmod(0o600)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    return key, public


def image(
    folder: Path,
    form: str = "oci-archive",
    environment: tuple[str, ...] = ("OS_CLOUD_URL=off",),
    entries: tuple[images.Entry, ...] = images.UPPER,
) -> Path:
    """Let skopeo write an image with the runtime and PostgreSQL's driver, or other entries above a base."""
    config: Mapping[str, Any] = {"config": {"Env": ["PATH=/usr/bin", "NODE_ENV=production", *environment]}}
    layers = [(images.tar(images.LOWER), "+gzip"), (images.tar(entries), "+gzip")]
    layout = images.Layout()
    layout.index(layout.image(layers, changes=config, annotations=images.named(REFERENCE)["annotations"]))
    source = layout.write(folder / "layout")
    written = folder / "image.tar"
    written.unlink(missing_ok=True)
    images.skopeo("copy", "--quiet", "--insecure-policy", f"oci:{source}:{REFERENCE}", f"{form}:{written}:{REFERENCE}")
    shutil.rmtree(source)
    return written


def make(folder: Path, archive: Path, pair: tuple[Path, Path]) -> Bundle:
    """Put a bundle together, not yet sealed."""
    folder.mkdir()
    bundle = Bundle(folder, *pair)
    shutil.copy(archive, folder / IMAGE)
    shutil.copy(ARTIFACT, folder / "objectstack.json")
    bundle.write("compose.yaml", COMPOSE)
    bundle.write("DATABASE.md", GUIDE)
    bundle.write(".env.example", TEMPLATE)
    bundle.write("CHECKLIST.md", CHECKLIST)
    return bundle
