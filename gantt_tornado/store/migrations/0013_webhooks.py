"""How far each webhook got in each project."""


def up(migrator, db):
    db.execute_sql(
        'CREATE TABLE "webhook" ("hook" TEXT NOT NULL, "project" INTEGER NOT NULL, '
        '"seq" BIGINT NOT NULL, PRIMARY KEY ("hook", "project"))'
    )
