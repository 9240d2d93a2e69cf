"""Links are looked for by both ends: of thousands that begin at one task, those that also
end at another."""


def up(migrator, db):
    db.execute_sql('CREATE INDEX "link_source_target" ON "link" ("source", "target")')
    db.execute_sql('DROP INDEX "link_source"')
