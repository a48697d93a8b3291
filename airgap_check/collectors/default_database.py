"""Finds the file that a runtime keeps its business in where no setting names a database."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from airgap_check.collectors.home_folder import home_folder
from airgap_check.kernel import foreign_path
from airgap_check.objectos import business_database

if TYPE_CHECKING:
    from airgap_check.collectors.installations import Installation
    from airgap_check.objectos.business_database import Database


def default_database(installation: Installation) -> Database | None:
    """Return the default database of a runtime, None where its folder cannot be told; raises OSError."""

    def exists(path: str) -> bool:
        try:
            os.close(foreign_path.locate(installation.thread, path))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except foreign_path.RefusedFileError as error:
            if error.errno != errno.EREMOTE or os.path.basename(path) not in business_database.DEFAULT_NAMES:
                raise
            return True  # whichever of the names it has, that is where it lies
        return True

    home = installation.home or home_folder(installation.thread)
    return business_database.default(installation.directory, home, installation.settings, exists)
