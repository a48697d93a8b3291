"""The errors that a person can act on; everything else is a fault of ours."""


class AirgapError(Exception):
    """Something the caller asked for cannot be done; the message is one line for a person."""


class UsageError(AirgapError):
    """The command line, a policy, a rule or an input file is wrong (exit code 2)."""


class InvalidFileError(UsageError):
    """A file has faults; one line per fault, each ``file:line:column: message``."""

    def __init__(self, faults: list[str]) -> None:
        """Keep every fault, so that one run shows them all."""
        super().__init__("\n".join(faults))
        self.faults = faults
