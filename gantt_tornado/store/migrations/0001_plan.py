"""The first schema: items by entity, the journal, the counter.

A frozen copy of the models of that day, so that it stays what it was when they change.
"""

from peewee import BigIntegerField, IntegerField, TextField


def up(migrator, db):
    class Item(db.Model):
        id = BigIntegerField(primary_key=True)
        project = TextField()
        rev = BigIntegerField()
        fields = TextField()

    class Task(Item):
        parent = BigIntegerField()
        sortorder = TextField()

        class Meta:
            indexes = ((("project", "parent", "sortorder"), True),)

    class Link(Item):
        source = BigIntegerField(index=True)
        target = BigIntegerField(index=True)

    class Resource(Item):
        pass

    class Assignment(Item):
        task_id = BigIntegerField(index=True)

    class Baseline(Item):
        task_id = BigIntegerField(index=True)

    class Change(db.Model):
        seq = BigIntegerField(primary_key=True)
        root = BigIntegerField()
        project = TextField()
        entity = TextField()
        item_id = BigIntegerField()
        action = TextField()
        user = TextField()
        device = TextField()
        seen = BigIntegerField()
        previous = BigIntegerField()
        at = BigIntegerField()
        request = TextField()
        fields = TextField()

        class Meta:
            indexes = ((("item_id", "seq"), False),)

    class Counter(db.Model):
        id = IntegerField(primary_key=True)
        seq = BigIntegerField()

    Change.add_index(Change.index(Change.root, name="change_root").where(Change.root != Change.seq))
    Change.add_index(
        Change.index(Change.request, name="change_request").where(Change.request != "")
    )
    db.create_tables([Task, Link, Resource, Assignment, Baseline, Change, Counter])
    Counter.insert(id=1, seq=0).execute()
