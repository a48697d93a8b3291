"""This host in the words of container images: ``linux/amd64``."""

from __future__ import annotations

import os

# what `uname -m` says -> GOARCH, and its variant where images tell them apart
_ARCHITECTURES = {
    "x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64", "armv7l": "arm/v7", "armv6l": "arm/v6",
    "i386": "386", "i686": "386", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64",
    "loongarch64": "loong64", "mips64": "mips64le",
}  # fmt: skip


def platform() -> str:
    """Return the platform of this host."""
    machine = os.uname().machine
    return f"linux/{_ARCHITECTURES.get(machine, machine)}"


def runs(image: str, host: str) -> bool:
    """Tell whether an image for a platform runs on a host as it is, without emulation.

    An arm image for an older variant runs on a newer processor; v8 of arm64 and v1 of amd64 are what they all are.
    """
    if image in {host, f"{host}/v8" if host.endswith("arm64") else f"{host}/v1"}:
        return True
    architecture, _, variant = image.rpartition("/")
    own, _, newest = host.rpartition("/")
    return own == "linux/arm" and (image == own or (architecture == own and variant <= newest))
