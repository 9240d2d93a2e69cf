"""The journal keeps what was dropped of a write; nothing that was refused is remembered."""


def up(migrator, db):
    db.execute_sql('ALTER TABLE "change" ADD COLUMN "dropped" TEXT NOT NULL DEFAULT \'\'')
    db.execute_sql("DROP TABLE refused")
