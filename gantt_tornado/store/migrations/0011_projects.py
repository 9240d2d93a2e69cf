"""Many projects in one database: all is keyed by the project first, and each counts for itself.

Every table is written anew, in one transaction: where it does not come to its end, the database
is as it was. That takes time and space where the journal is long, so the log says first how much.
"""

import logging
import time

log = logging.getLogger(__name__)

#: Five million lines took 43 seconds of CPU time, and eleven minutes where many others used the
#: disk and both cores.
ROWS_A_SECOND = 20_000
#: Bytes that are needed beside the database, for each of its own; 3.1 then. The new tables stand in
#: SQLite's log before they stand in the file.
SPACE = 4
#: What is written in no time is not worth a line.
MANY = 10_000

ITEM = (
    '"project" INTEGER NOT NULL, "id" INTEGER NOT NULL, "rev" INTEGER NOT NULL, '
    '"mark" INTEGER NOT NULL, "fields" TEXT NOT NULL'
)
#: Table → the columns of its own.
ITEMS = {
    "task": '"parent" INTEGER NOT NULL, "sortorder" TEXT NOT NULL, ',
    "link": '"source" INTEGER NOT NULL, "target" INTEGER NOT NULL, ',
    "resource": "",
    "assignment": '"task_id" INTEGER NOT NULL, ',
    "baseline": '"task_id" INTEGER NOT NULL, ',
}
COLUMNS = {
    "task": ", parent, sortorder",
    "link": ", source, target",
    "resource": "",
    "assignment": ", task_id",
    "baseline": ", task_id",
}
INDEXES = (
    'CREATE UNIQUE INDEX "task_place" ON "task" ("project", "parent", "sortorder")',
    'CREATE INDEX "link_ends" ON "link" ("project", "source", "target")',
    'CREATE INDEX "link_target" ON "link" ("project", "target")',
    'CREATE INDEX "assignment_task" ON "assignment" ("project", "task_id")',
    'CREATE INDEX "baseline_task" ON "baseline" ("project", "task_id")',
    'CREATE INDEX "change_item" ON "change" ("project", "item_id", "seq")',
    'CREATE INDEX "change_cause" ON "change" ("project", "cause_seq") WHERE "cause_seq" != "seq"',
    'CREATE INDEX "change_request" ON "change" ("project", "request") WHERE "request" != \'\'',
    'CREATE INDEX "change_group" ON "change" ("project", "group_seq") WHERE "group_seq" != 0',
)
#: What SQLite's planner takes each key for: rows in all, and rows to each of its columns that is
#: given. Without that it thinks of ten rows to a project, and reads the whole project; and with
#: fewer rows in all it would read a whole table first to filter a few links or parents.
PLANNED = {
    **{(table, table): "100000000 10000 1" for table in ITEMS},
    ("task", "task_place"): "100000000 10000 20 1",
    ("link", "link_ends"): "100000000 10000 4 1",
    ("link", "link_target"): "100000000 10000 4",
    ("assignment", "assignment_task"): "100000000 10000 4",
    ("baseline", "baseline_task"): "100000000 10000 4",
    ("change", "change"): "100000000 100000 1",
    ("change", "change_item"): "100000000 100000 20 1",
    ("change", "change_cause"): "100000 1000 10",
    ("change", "change_request"): "100000 1000 1",
    ("change", "change_group"): "100000 1000 10",
}


def up(migrator, db):
    tell(db)
    projects(db)
    for table, own in ITEMS.items():
        columns = f"id, rev, mark, fields{COLUMNS[table]}"
        body = f'{ITEM}, {own}PRIMARY KEY ("project", "id")'
        rebuild(db, table, body, f"project, {columns}", f"1, {columns} FROM {table} ORDER BY id")
    rest = "entity, item_id, action, user"
    more = "previous, at, request, fields, dropped, mark, previous_mark, group_seq"
    rebuild(
        db,
        "change",
        '"project" INTEGER NOT NULL, "seq" INTEGER NOT NULL, "cause_seq" INTEGER NOT NULL, '
        '"entity" TEXT NOT NULL, "item_id" INTEGER NOT NULL, "action" TEXT NOT NULL, '
        '"user" TEXT NOT NULL, "client_id" TEXT NOT NULL, "base_rev" INTEGER NOT NULL, '
        '"previous" INTEGER NOT NULL, "at" INTEGER NOT NULL, "request" TEXT NOT NULL, '
        '"fields" TEXT NOT NULL, "dropped" TEXT NOT NULL, "mark" INTEGER NOT NULL, '
        '"previous_mark" INTEGER NOT NULL, "group_seq" INTEGER NOT NULL, '
        'PRIMARY KEY ("project", "seq")',
        f"project, seq, cause_seq, {rest}, client_id, base_rev, {more}",
        f"1, seq, root, {rest}, device, seen, {more} FROM change ORDER BY seq",
    )
    rebuild(
        db,
        "spacing",
        '"project" INTEGER NOT NULL, "seq" INTEGER NOT NULL, "parent" INTEGER NOT NULL, '
        '"keys" TEXT NOT NULL, PRIMARY KEY ("project", "seq")',
        "project, seq, parent, keys",
        "1, seq, parent, keys FROM spacing ORDER BY seq",
    )
    for index in INDEXES:
        db.execute_sql(index)
    plan(db)


def plan(db):
    db.execute_sql("ANALYZE setting")
    db.execute_sql("DELETE FROM sqlite_stat1")
    for key, rows in PLANNED.items():
        db.execute_sql("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", (*key, rows))
    # Has what was just written read, which is else done when the file is opened.
    db.execute_sql("ANALYZE sqlite_master")


def tell(db):
    """Say what is to come."""
    rows = sum(one(db, f"SELECT COUNT(*) FROM {table}")[0] for table in (*ITEMS, "change"))
    if rows < MANY:
        return
    size = one(db, "PRAGMA page_count")[0] * one(db, "PRAGMA page_size")[0]
    log.warning(
        "the database is made ready for several projects, once: %d rows, which takes about "
        "%d seconds and needs %d MB of free disk meanwhile; if it is stopped, it begins anew",
        rows,
        max(rows // ROWS_A_SECOND, 1),
        size * SPACE // 1_000_000 + 1,
    )


def projects(db):
    """The table of projects, and in it the one that there was."""
    db.execute_sql(
        'CREATE TABLE "project" ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "name" TEXT NOT NULL, '
        '"title" TEXT NOT NULL, "public" INTEGER NOT NULL, "seq" INTEGER NOT NULL, '
        '"mark" INTEGER NOT NULL, "horizon" INTEGER NOT NULL, "horizon_mark" INTEGER NOT NULL, '
        '"history" INTEGER NOT NULL, "created" INTEGER NOT NULL, "archived" INTEGER NOT NULL, '
        '"deleted" INTEGER NOT NULL)'
    )
    db.execute_sql('CREATE UNIQUE INDEX "project_name" ON "project" ("name")')
    counted, mark, history = one(db, "SELECT seq, mark, history FROM counter")
    first = one(db, "SELECT MIN(seq) FROM change")[0]
    horizon = counted if first is None else first - 1
    created = one(db, "SELECT MIN(at) FROM change")[0] or time.time_ns() // 1_000_000
    db.execute_sql(
        "INSERT INTO project VALUES (1, 'default', '', 0, ?, ?, ?, ?, ?, ?, 0, 0)",
        (horizon, mark, horizon, mark, history, created),
    )
    db.execute_sql("DROP TABLE counter")


def rebuild(db, table, body, columns, rows):
    """Give a table other columns. ``rows`` come in the order of the new key."""
    # Rows in the order of their key, and no second tree beside it.
    db.execute_sql(f'CREATE TABLE "new_{table}" ({body}) WITHOUT ROWID')
    db.execute_sql(f"INSERT INTO new_{table} ({columns}) SELECT {rows}")
    db.execute_sql(f"DROP TABLE {table}")
    db.execute_sql(f"ALTER TABLE new_{table} RENAME TO {table}")


def one(db, sql):
    return db.execute_sql(sql).fetchone()
