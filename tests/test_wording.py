"""How messages count things and list names."""

import pytest

from regctl.wording import count, some_of


@pytest.mark.parametrize(("number", "text"), [(0, "0 users"), (1, "1 user"), (2, "2 users")])
def test_a_noun_is_singular_for_one_thing_only(number: int, text: str) -> None:
    assert count(number, "user") == text


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (list("abcde"), "a, b, c, d, e"),
        (list("abcdef"), "a, b, c, d, e and 1 more"),
    ],
)
def test_a_long_list_of_names_is_cut_after_five(names: list[str], text: str) -> None:
    assert some_of(names) == text
