"""How text is kept: until now as HTML that was cleaned. The store converts it when it opens,
because which way is wanted stands in the configuration."""

from peewee import TextField


def up(migrator, db):
    class Setting(db.Model):
        name = TextField(primary_key=True)
        value = TextField()

    db.create_tables([Setting])
    Setting.insert(name="html", value="clean").execute()
