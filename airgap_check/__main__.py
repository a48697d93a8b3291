"""Starts the tool, isolated: the console script, and ``python -m airgap_check``."""

import sys


def isolate() -> None:
    """Drop every import path that the caller's environment added, as ``python -I`` does.

    Neither the current directory, nor a user's site-packages, nor PYTHONPATH may put code into a tool that root runs.
    What is imported before this function runs is the interpreter's own start-up and nothing else.
    """
    import os
    import site

    added = {os.path.realpath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep)}
    added |= {os.path.realpath("."), os.path.realpath(site.getusersitepackages())}
    ours = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    sys.path[:] = [path for path in sys.path if os.path.realpath(path) not in added - {ours}]


def console() -> None:
    """Run the command line; the entry point of the console script."""
    if not sys.flags.isolated:
        isolate()
    from airgap_check.cli import start

    start()


if __name__ == "__main__":
    console()
