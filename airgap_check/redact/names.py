"""Knows which variables, options, headers and parameters hold a secret, by their names."""

from __future__ import annotations

import re

_SECRET_WORDS = re.compile(
    "SECRET|PASSWORD|PASSWD|PASSPHRASE|PASSCODE|TOKEN|KEY|CREDENTIAL|AUTHORIZATION|BEARER|JWT|SIGNATURE|HEADERS\\Z|"
    r"(?:\A|[^A-Z])(?:(?:PASS|PWD|PW|SALT|SAS|SIG)(?![A-Z])|AUTH\Z)|[A-Z](?:PASS|PWD)\Z"
)
_INNOCENT_WORDS = re.compile("KEYBOARD|KEYMAP|KEYCLOAK|KEYSTONE|KEYSPACE|KEYWORD|TOKENIZER|BYPASS|COMPASS|OLDPWD")
_FILE_NAME_ENDS = ("FILE", "FILENAME", "PATH", "DIR", "DIRECTORY", "STORE", "STDIN", "PROMPT")
_PARAMETERS = frozenset({"PWD", "COOKIE", "SET-COOKIE", "PASSIN", "PASSOUT", "USERPWD"})


def is_secret_name(name: str) -> bool:
    """Tell whether a variable, option, header or parameter of this name holds a secret."""
    upper = name.strip().upper()
    if upper == "PWD":  # the shell's working directory
        return False
    return _SECRET_WORDS.search(_INNOCENT_WORDS.sub("", upper)) is not None


def is_secret_parameter(name: str, text: str, *, first: bool = True) -> bool:
    """Tell whether ``name=text`` holds a secret; ``first`` says that nothing stands before it."""
    name = name.lstrip("-")
    if name == "PWD" and first and text.startswith("/") and ";" not in text:  # the shell's, not that of ODBC
        return False
    return (is_secret_name(name) or name.upper() in _PARAMETERS) and not names_a_file(name, text)


def names_a_file(name: str, text: str) -> bool:
    """Tell whether a secret is not here but in the file named (the *_FILE convention of containers)."""
    return name.upper().endswith(_FILE_NAME_ENDS) and text.startswith(("/", "./", "../", "~/"))
