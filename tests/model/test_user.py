import pytest

from gantt_tornado import Role, User

ROLES = list(Role)


@pytest.mark.parametrize("own", ROLES)
@pytest.mark.parametrize("wanted", ROLES)
def test_a_role_may_what_those_before_it_may(own: Role, wanted: Role) -> None:
    assert User("eve", own).may(wanted) == (ROLES.index(own) >= ROLES.index(wanted))
