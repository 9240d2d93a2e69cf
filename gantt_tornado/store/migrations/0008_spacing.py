"""Where the sort keys of neighbours were spaced anew, for an undo that reaches further back."""


def up(migrator, db):
    db.execute_sql(
        'CREATE TABLE "spacing" ("seq" BIGINT NOT NULL PRIMARY KEY, "project" TEXT NOT NULL, '
        '"parent" BIGINT NOT NULL, "keys" TEXT NOT NULL)'
    )
