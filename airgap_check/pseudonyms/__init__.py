"""Reports that may be shown to others: everything that tells of the site becomes a pseudonym, which a key takes back.

The same word has the same pseudonym in every report, format and run of one key. Nothing rests on finding what must be
hidden: what is not known to be harmless is hidden.
"""

from __future__ import annotations

from airgap_check.pseudonyms.key import Key, load
from airgap_check.pseudonyms.report import pseudonymize, pseudonymize_inspection

__all__ = ["Key", "load", "pseudonymize", "pseudonymize_inspection"]
