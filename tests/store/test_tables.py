import pytest

from gantt_tornado.model.entities import ENTITIES, Entity
from gantt_tornado.store.tables import MODELS, Item, columns_of

every_entity = pytest.mark.parametrize("entity", ENTITIES.values(), ids=list(ENTITIES))


def test_each_entity_has_a_table() -> None:
    assert MODELS.keys() == ENTITIES.keys()


@every_entity
def test_a_table_has_the_columns_of_its_entity(entity: Entity) -> None:
    own = set(MODELS[entity.name]._meta.sorted_field_names)  # type: ignore[attr-defined]
    shared = set(Item._meta.sorted_field_names)  # type: ignore[attr-defined]
    assert own - shared == set(columns_of(entity))
