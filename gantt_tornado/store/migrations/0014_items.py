"""One table for the items of all entities that have none of their own, and to what they point."""

TABLES = (
    'CREATE TABLE "item" ("project" INTEGER NOT NULL, "id" INTEGER NOT NULL, '
    '"rev" INTEGER NOT NULL, "mark" INTEGER NOT NULL, "fields" TEXT NOT NULL, '
    '"entity" TEXT NOT NULL, "sortorder" TEXT NOT NULL, PRIMARY KEY ("project", "id")) '
    "WITHOUT ROWID",
    'CREATE INDEX "item_place" ON "item" ("project", "entity", "sortorder")',
    'CREATE TABLE "reference" ("project" INTEGER NOT NULL, "pointed" INTEGER NOT NULL, '
    '"item" INTEGER NOT NULL, "entity" TEXT NOT NULL, '
    'PRIMARY KEY ("project", "pointed", "item")) WITHOUT ROWID',
    'CREATE INDEX "reference_item" ON "reference" ("project", "item")',
    # Only neighbours of tasks have been spaced anew so far.
    'ALTER TABLE "spacing" ADD COLUMN "entity" TEXT NOT NULL DEFAULT \'task\'',
)
#: What SQLite's planner takes each key for, see 0011_projects.
PLANNED = {
    ("item", "item"): "100000000 10000 1",
    ("item", "item_place"): "100000000 10000 1000 1",
    ("reference", "reference"): "100000000 10000 20 1",
    ("reference", "reference_item"): "100000000 10000 2",
}


def up(migrator, db):
    for sql in TABLES:
        db.execute_sql(sql)
    for key, rows in PLANNED.items():
        db.execute_sql("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", (*key, rows))
    db.execute_sql("ANALYZE sqlite_master")
