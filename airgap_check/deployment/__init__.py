"""What is written down to be deployed: compose files, Kubernetes manifests, units, Dockerfiles; and what it amounts to.

Nothing is asked, started or fetched: files are read as they lie there.
"""

from __future__ import annotations

from airgap_check.deployment.reading import Reading, read
from airgap_check.deployment.service import Service

__all__ = ["Reading", "Service", "read"]
