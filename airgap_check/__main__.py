"""``python -m airgap_check``."""

from airgap_check.cli import start

start()
