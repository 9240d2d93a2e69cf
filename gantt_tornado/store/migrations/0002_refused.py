"""What was refused of an item, for the pages that show it all the same."""

from peewee import BigIntegerField, TextField


def up(migrator, db):
    class Refused(db.Model):
        item_id = BigIntegerField(primary_key=True)
        project = TextField()
        entity = TextField()
        seq = BigIntegerField()
        fields = TextField()

    db.create_tables([Refused])
