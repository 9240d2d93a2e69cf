import pytest

from gantt_tornado.errors import BadRequest
from gantt_tornado.model.project_info import SEARCHED_FOR, check_name


@pytest.mark.parametrize("name", ["a", "0", "a-b", "default", "my-task", "x" * 63])
def test_what_a_project_may_be_called(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "a/b", "a\n", "\u00e9", "x" * 64])
def test_what_stands_badly_in_an_address_is_no_name(name: str) -> None:
    with pytest.raises(BadRequest, match="up to 63"):
        check_name(name)


@pytest.mark.parametrize("word", SEARCHED_FOR)
def test_what_the_clients_search_addresses_for_is_no_name(word: str) -> None:
    with pytest.raises(BadRequest, match=word):
        check_name(f"{word}s-of-mine")
