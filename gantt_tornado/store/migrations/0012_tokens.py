"""Tokens that people sign in with. Only digests of them are kept."""


def up(migrator, db):
    db.execute_sql(
        'CREATE TABLE "token" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, '
        '"digest" TEXT NOT NULL UNIQUE, "user" TEXT NOT NULL, "name" TEXT NOT NULL, '
        '"color" TEXT NOT NULL, "role" TEXT NOT NULL, "projects" TEXT NOT NULL, '
        '"created" BIGINT NOT NULL, "expires" BIGINT NOT NULL, "revoked" BIGINT NOT NULL, '
        '"revision" BIGINT NOT NULL)'
    )
    db.execute_sql('CREATE INDEX "token_revision" ON "token" ("revision")')
