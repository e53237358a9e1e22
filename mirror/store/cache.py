"""The cache of validators: it saves requests, and losing it loses nothing.

A saved validator is only used while the store still holds exactly what the page led to, so a rollback,
a repair or a changed configuration can never hide behind a 304. Keys are digests: no URL is written.
Content is not keyed by the secret itself, so a token that changes every night costs no fresh crawl.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

import msgspec

from mirror.model.files import Validators
from mirror.model.index import Index
from mirror.model.urls import Url

PARSER = 1  # raised when pages are read differently, so that none is skipped as unchanged
_SCHEMA = "CREATE TABLE IF NOT EXISTS page (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"


class Saved(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a page answered, and the fingerprint of what we then held because of it."""

    validators: Validators
    fingerprint: str
    until: datetime | None = None
    """When the same page may lead to something else; None: never."""


class Cache:
    """Validators by page, read at the start of a run and written at its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved: dict[str, Saved] = {}
        self._changed: dict[str, Saved | None] = {}

    def open(self) -> None:
        """Read the cache; one that cannot be read is removed and begun anew."""
        try:
            self._saved = self._read()
        except (sqlite3.DatabaseError, msgspec.MsgspecError):
            with suppress(OSError):  # a directory in its place: it is done without
                self._path.unlink()
            self._saved = {}

    def validators(self, key: str, fingerprint: str | None, now: datetime) -> Validators:
        """The validators for `key`, if what they led to is what is held now, and still what they lead to; else none."""
        saved = self._saved.get(key)
        if saved is None or saved.fingerprint != fingerprint or (saved.until is not None and now >= saved.until):
            return Validators()
        return saved.validators

    def put(self, key: str, saved: Saved | None) -> None:
        """Remember `saved` for `key`, or forget it."""
        self._changed[key] = saved

    def save(self) -> None:
        """Write what changed. A cache that cannot be written is given up, silently: nothing depends on it."""
        changed = {key: saved for key, saved in self._changed.items() if self._saved.get(key) != saved}
        if not changed:
            return
        encode = msgspec.msgpack.Encoder().encode
        try:
            with closing(sqlite3.connect(self._path)) as database, database:
                database.execute(_SCHEMA)
                gone = [(key,) for key, saved in changed.items() if saved is None]
                database.executemany("DELETE FROM page WHERE key = ?", gone)
                kept = [(key, encode(saved)) for key, saved in changed.items() if saved is not None]
                database.executemany("INSERT OR REPLACE INTO page VALUES (?, ?)", kept)
        except sqlite3.DatabaseError:
            with suppress(OSError):
                self._path.unlink()

    def _read(self) -> dict[str, Saved]:
        if not self._path.exists():
            return {}
        decoder = msgspec.msgpack.Decoder(Saved)
        with closing(sqlite3.connect(self._path)) as database:
            database.execute(_SCHEMA)
            return {key: decoder.decode(value) for key, value in database.execute("SELECT key, value FROM page")}


def page_key(index: Index, account: str, url: Url, accept: str, *wishes: str) -> str:
    """The key of one page, as one account with one selection sees it through this version of the parser.

    `wishes` are the fingerprints of what else decides which of its files are wanted.
    """
    flags = (str(index.legacy_filenames), str(index.upgrade_http), *wishes)
    parts = (str(PARSER), index.name, account, url.text, accept, *flags)
    text = "\0".join((*parts, *(("*",) if index.projects is None else index.projects)))
    return hashlib.sha256(text.encode()).hexdigest()
