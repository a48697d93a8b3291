"""Bytes from the wire become names; pure, and never surprised by what an attacker sends."""
