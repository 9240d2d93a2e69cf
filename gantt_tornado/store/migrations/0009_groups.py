"""Changes that belong together, a batch or an undo of several, are taken back as a whole."""


def up(migrator, db):
    db.execute_sql('ALTER TABLE "change" ADD COLUMN "group_seq" BIGINT NOT NULL DEFAULT 0')
    db.execute_sql('CREATE INDEX "change_group" ON "change" ("group_seq") WHERE "group_seq" != 0')
