from __future__ import annotations

import pytest

from gantt_tornado import Role, User
from gantt_tornado.model.user import anonymous_user, color_of, roles

ROLES = list(Role)


@pytest.mark.parametrize("own", ROLES)
@pytest.mark.parametrize("wanted", ROLES)
def test_a_role_may_what_those_before_it_may(own: Role, wanted: Role) -> None:
    assert User("eve", own).may(wanted, "default") == (ROLES.index(own) >= ROLES.index(wanted))


def test_one_role_is_for_every_project() -> None:
    assert User("eve", Role.editor).may(Role.editor, "bridge")


def test_a_role_in_one_project_is_none_in_another() -> None:
    eve = User("eve", None, {"bridge": Role.editor})
    assert eve.may(Role.editor, "bridge")
    assert not eve.may(Role.viewer, "tunnel") and not eve.may(Role.viewer, "default")


def test_the_role_in_a_project_stands_in_place_of_the_one_for_all() -> None:
    eve = User("eve", Role.editor, {"bridge": Role.viewer})
    assert eve.may(Role.editor, "tunnel") and not eve.may(Role.editor, "bridge")


def test_somebody_without_a_token_reads_the_default_project_and_public_ones() -> None:
    nobody = anonymous_user(Role.viewer, ["bridge"])
    assert nobody.may(Role.viewer, "default") and nobody.may(Role.viewer, "bridge")
    assert not nobody.may(Role.viewer, "tunnel") and not nobody.may(Role.editor, "default")


@pytest.mark.parametrize(
    "projects, expected",
    [
        ((), (Role.editor, {})),
        (("*",), (Role.editor, {})),
        (("bridge",), (None, {"bridge": Role.editor})),
        (("bridge:viewer",), (None, {"bridge": Role.viewer})),
        (("*:viewer", "bridge"), (Role.viewer, {"bridge": Role.editor})),
    ],
)
def test_roles_are_read_from_a_list_of_projects(
    projects: tuple[str, ...], expected: object
) -> None:
    assert roles(Role.editor, projects) == expected


@pytest.mark.parametrize(
    "projects",
    [["Bridge"], ["-a"], [""], ["a" * 64], ["a:king"], ["a:"], ["a", "a:viewer"], ["**"]],
)
def test_a_wrong_list_of_projects_is_refused(projects: list[str]) -> None:
    with pytest.raises(ValueError, match=r"project|role"):
        roles(Role.editor, projects)


def test_a_project_without_any_role_is_refused() -> None:
    with pytest.raises(ValueError, match="no role is given"):
        roles(None, ["bridge"])


def test_without_a_display_name_the_user_name_is_shown() -> None:
    assert User("eve", Role.editor).display == "eve"
    assert User("eve", Role.editor, display="Eve Lee").display == "Eve Lee"


def test_a_color_is_made_of_the_name_unless_one_is_given() -> None:
    assert User("eve", Role.editor).color == color_of("eve") == User("eve", Role.viewer).color
    assert User("eve", Role.editor, color="#102030").color == "#102030"


@pytest.mark.parametrize("name", [*map(str, range(200)), "", "Jürgen", "\ud800"])
def test_white_letters_can_be_read_on_a_color(name: str) -> None:
    color = color_of(name)
    red, green, blue = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))

    def linear(each: float) -> float:
        return each / 12.92 if each <= 0.03928 else ((each + 0.055) / 1.055) ** 2.4

    luminance = 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    assert 1.05 / (luminance + 0.05) >= 4.5


def test_a_page_is_told_its_user_with_the_role_in_its_project() -> None:
    eve = User("eve", None, {"bridge": Role.editor}, "Eve Lee", "#102030")
    shown = {"name": "eve", "role": "editor", "display": "Eve Lee", "color": "#102030"}
    assert eve.shown("bridge") == shown
    assert eve.shown("tunnel") == {**shown, "role": ""}


def test_when_and_with_what_somebody_signed_in_makes_no_other_user() -> None:
    assert User("eve", Role.editor, token="a", expires=1) == User("eve", Role.editor)


def test_a_user_does_not_show_the_digest_of_the_token() -> None:
    assert "a1b2" not in repr(User("eve", Role.editor, token="a1b2"))
