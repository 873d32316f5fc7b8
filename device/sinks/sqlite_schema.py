"""What stands in the database of a log, and how older ones become new."""

from __future__ import annotations

import sqlite3

APPLICATION_ID = 0x65646B74  # "edkt": the database is a log of pocketsight
TABLE_COLUMNS = (
    "id",
    "time",
    "synced",
    "kind",
    "what",
    "track",
    "sentiment",
    "was",
    "score",
    "start",
    "seconds",
    "box_left",
    "box_top",
    "box_right",
    "box_bottom",
    "json",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (  # the first makes version 1 of nothing, the next version 2 of that, ...
    (
        """
        CREATE TABLE entries (
            n INTEGER PRIMARY KEY,  -- the order of writing
            id TEXT UNIQUE,         -- NULL: a frame
            time TEXT NOT NULL,     -- UTC
            synced INTEGER,         -- 1: the clock was set by the network; NULL: nobody knows
            kind TEXT NOT NULL,     -- frame, face, fault, state
            what TEXT,              -- appeared, changed, left; a fault's name
            track INTEGER,
            sentiment TEXT,
            was TEXT,
            score REAL,
            start TEXT,
            seconds REAL,
            box_left REAL, box_top REAL, box_right REAL, box_bottom REAL,
            json TEXT NOT NULL      -- all of it
        )
        """,
        "CREATE INDEX entries_time ON entries (time)",
    ),
)


class ForeignDatabase(Exception):
    """The database is not ours to write."""


def prepare_database(connection: sqlite3.Connection) -> None:
    """Check a database, new or old, and bring it to this version.

    Raises Foreign, and sqlite3.DatabaseError, with the code SQLITE_CORRUPT or SQLITE_NOTADB where it is broken.
    """
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        error = sqlite3.DatabaseError(" ".join(found.split()))
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error
    _check_owner(connection)
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    # Without a write-ahead log (a network drive) only this keeps the file whole in a power cut.
    connection.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # Database does that, between two batches
    _migrate(connection)


def _check_owner(connection: sqlite3.Connection) -> None:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if owner != APPLICATION_ID and (owner or tables):
        raise ForeignDatabase("is a database of another program")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise ForeignDatabase(f"was written by a newer pocketsight (version {version} of the log): update pocketsight")


def _migrate(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")  # another run may be at it, too
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        if version < len(MIGRATIONS):
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
