"""What is folded into all marks, so that a plan can become another to its pages at once."""


def up(migrator, db):
    db.execute_sql('ALTER TABLE "counter" ADD COLUMN "history" INTEGER NOT NULL DEFAULT 0')
