"""The tables of the memory, format by format; what an older version wrote is brought up to date in one transaction."""

from __future__ import annotations

VERSION = 2

_FIRST = """
CREATE TABLE sighting (
    kind TEXT NOT NULL, owner TEXT NOT NULL, place TEXT NOT NULL, digest TEXT NOT NULL, path TEXT NOT NULL,
    first TEXT NOT NULL, last TEXT NOT NULL, PRIMARY KEY (kind, owner, place, digest)) WITHOUT ROWID;
CREATE TABLE preflight (made TEXT PRIMARY KEY, until TEXT NOT NULL, binding TEXT NOT NULL) WITHOUT ROWID;
"""
# A run is one line from its beginning on: without ``finished`` it is at work, or was killed. ``heard`` is when it last
# delivered a report, ``turn`` in which order runs did: a clock that was set back cannot confuse it. ``told`` is set
# once a later report has said that it was killed. Texts that runs repeat stand once, in ``wording``.
_SECOND = """
CREATE TABLE wording (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, body TEXT NOT NULL);
CREATE TABLE run (
    id INTEGER PRIMARY KEY AUTOINCREMENT, started TEXT NOT NULL, boot TEXT, uptime REAL, gap INTEGER,
    heard TEXT, finished TEXT, turn INTEGER, told INTEGER NOT NULL DEFAULT 0,
    lane TEXT, verdict TEXT, code INTEGER, low INTEGER, medium INTEGER, high INTEGER, critical INTEGER,
    appeared INTEGER, resolved INTEGER, standing INTEGER, terms INTEGER, coverage INTEGER, reasons INTEGER);
CREATE INDEX run_turn ON run (turn) WHERE turn IS NOT NULL;
CREATE INDEX run_open ON run (id) WHERE finished IS NULL AND told = 0;
CREATE TABLE finding (
    rule TEXT NOT NULL, fingerprint TEXT NOT NULL, severity TEXT NOT NULL, subject TEXT NOT NULL,
    message TEXT NOT NULL, sight TEXT NOT NULL, scope TEXT NOT NULL, first TEXT NOT NULL, last TEXT NOT NULL,
    resolved TEXT, waived INTEGER NOT NULL, times INTEGER NOT NULL, reopened INTEGER NOT NULL,
    PRIMARY KEY (rule, fingerprint)) WITHOUT ROWID;
CREATE TABLE head (name TEXT PRIMARY KEY, digest TEXT NOT NULL, sequence INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE mishap (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
"""
_FORMATS = (_FIRST, _SECOND)


def changes(version: int) -> str:
    """Return the statements that bring a file of an earlier format, 0 being an empty one, to this one."""
    return f"BEGIN IMMEDIATE;{''.join(_FORMATS[version:])}PRAGMA user_version = {VERSION};"
