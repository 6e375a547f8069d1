"""The link to the next page, and each name of a list once."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.errors import IncompleteListError, NotPermittedError, RegistryError
from regctl.registry.pagination import each_once, next_page, on_page

PAGE = "https://registry.foo.com/v2/_catalog?n=2"


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ('</v2/_catalog?last=b&n=2>; rel="next"', "/v2/_catalog?last=b&n=2"),
        ("<?last=b>; rel=next", "/v2/_catalog?last=b"),
        ('<https://registry.foo.com/v2/_catalog?x=a%2Fb>; rel="next"', "/v2/_catalog?x=a%2Fb"),
        (
            '<https://evil.example/v2/_catalog?next_page=%3D%3D>;rel="next"',
            "/v2/_catalog?next_page=%3D%3D",
        ),
        ('</v2/_catalog?last=a,b;c>; rel="next"', "/v2/_catalog?last=a,b;c"),
        ('</v2/_catalog?n=1>; rel="prev", </v2/_catalog?n=3>; rel="next"', "/v2/_catalog?n=3"),
        ('</v2/_catalog?n=3>; title="a, b"; REL="start NEXT"', "/v2/_catalog?n=3"),
        # Nexus names the path that its web server has, and not its connector.
        (
            '<https://nexus/repository/docker/v2/_catalog?after=b>; rel="next"',
            "/v2/_catalog?after=b",
        ),
        ('</v2/_catalog?n=1>; rel="prev"', None),
        ("next please", None),
        ("<", None),
        ("", None),
    ],
)
def test_the_next_page_is_at_our_own_origin(link: str, target: str | None) -> None:
    assert next_page(link, PAGE, "/v2/_catalog?n=2") == target


@given(st.text(max_size=200))
def test_no_link_is_an_error_or_leads_elsewhere(link: str) -> None:
    target = next_page(link, PAGE, "/v2/_catalog?n=2")
    assert target is None or "://" not in target.partition("?")[0]


@given(st.lists(st.lists(st.text(min_size=1, max_size=3))))
def test_each_name_comes_once_in_any_order(pages: list[list[str]]) -> None:
    names = [name for page in pages for name in page]
    found = each_once(pages, "cannot list", last=None, limit=None)
    assert list(found) == list(dict.fromkeys(names))


def test_an_error_names_its_page_once_and_the_last_name() -> None:
    def pages() -> Iterator[list[str]]:
        yield ["a"]
        raise RegistryError(f"{on_page('cannot list x', 2)}: the registry answers 500")

    with pytest.raises(IncompleteListError) as caught:
        list(each_once(pages(), "cannot list x", last=None, limit=None))
    assert str(caught.value) == "cannot list x to the end: page 2: the registry answers 500"
    assert caught.value.last == "a"


def test_an_error_before_the_first_name_stays_itself() -> None:
    def pages() -> Iterator[list[str]]:
        yield []
        raise NotPermittedError("cannot list x: forbidden")

    with pytest.raises(NotPermittedError):
        list(each_once(pages(), "cannot list x", last=None, limit=None))
