"""Tells people and machines what a run changed: to approved destinations only, and kept on disk until they have it.

`load` and `check` come before anything is collected, `post` and `pump` after it is judged.
"""

from airgap_check.alerts.approval import check as check
from airgap_check.alerts.dispatch import post as post
from airgap_check.alerts.dispatch import pump as pump
from airgap_check.alerts.settings import AlertFile as AlertFile
from airgap_check.alerts.settings import load as load
