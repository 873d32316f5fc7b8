"""The tables of an SQLite log, and their migrations."""

from __future__ import annotations

import sqlite3

from pocketsight.device.sinks.base import EVENT_COLUMNS

APPLICATION_ID = 0x706B7374  # "pkst": marks the database as a log of pocketsight
TABLE_COLUMNS = (
    "id",
    "time",
    "clock_synced",
    "kind",
    *EVENT_COLUMNS,
    "box_left",
    "box_top",
    "box_right",
    "box_bottom",
    "json",
)

# The first migration creates version 1 in an empty file, the second one makes version 2 of version 1, and so on.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE entries (
            n INTEGER PRIMARY KEY,  -- order of writing
            id TEXT UNIQUE,         -- NULL for frames
            time TEXT NOT NULL,     -- UTC
            clock_synced INTEGER,   -- 1: the network has set the clock; NULL: unknown
            kind TEXT NOT NULL,     -- frame, face or fault
            event TEXT,             -- appeared, changed or left; the name of a fault
            track_id INTEGER,
            label TEXT,
            previous TEXT,          -- the label before a change
            label_score REAL,       -- confidence of the classifier, 0..1
            score REAL,             -- confidence of the detector, 0..1
            first_seen TEXT,        -- UTC
            duration_s REAL,
            box_left REAL, box_top REAL, box_right REAL, box_bottom REAL,  -- pixels of the frame
            json TEXT NOT NULL      -- the whole entry
        )
        """,
        "CREATE INDEX entries_time ON entries (time)",
    ),
    ("ALTER TABLE entries ADD COLUMN object TEXT",),  # label of the detector, such as face
)


class ForeignDatabase(Exception):
    """The database belongs to another program or to a newer version."""


def prepare_database(connection: sqlite3.Connection) -> None:
    """Check a database, and create or migrate its tables.

    Raises ForeignDatabase, and sqlite3.DatabaseError with the code SQLITE_CORRUPT or SQLITE_NOTADB if it is corrupt.
    """
    result = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if result != "ok":
        error = sqlite3.DatabaseError(" ".join(result.split()))
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error
    _check_owner(connection)
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    # Without a write-ahead log, as on a network drive, only FULL survives a power cut.
    connection.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # SqliteSink does it between two batches
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
    connection.execute("BEGIN IMMEDIATE")  # another run may migrate at the same time
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
