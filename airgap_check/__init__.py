"""Proves, or disproves, that a deployment talks only to what its owner approved."""

__version__ = "0.1.0"
