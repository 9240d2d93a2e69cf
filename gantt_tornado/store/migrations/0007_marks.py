"""Each change has a mark, and each item that of its last change. What was written before has
one mark in common: no page knows it, and two databases have two."""

import secrets

TABLES = ("task", "link", "resource", "assignment", "baseline")
COLUMNS = (
    *((table, "mark") for table in TABLES),
    ("change", "mark"),
    ("change", "previous_mark"),
    ("counter", "mark"),
)


def up(migrator, db):
    # As a default it costs nothing, however many lines there are.
    mark = secrets.randbits(24)
    for table, column in COLUMNS:
        db.execute_sql(
            f'ALTER TABLE "{table}" ADD COLUMN "{column}" INTEGER NOT NULL DEFAULT {mark}'
        )
