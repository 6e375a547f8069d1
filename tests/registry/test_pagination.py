"""The link to the next page, and each name of a list once."""

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.errors import IncompleteListError, NotPermittedError, RegistryError
from regctl.registry.pagination import ListQuery, each_once, next_page
from regctl.registry.response import Response

TARGET = "/v2/_catalog?n=2"
QUERY = ListQuery("/v2/_catalog", "repositories", "cannot list x")


def linking(link: str) -> Response:
    return Response("GET", f"https://registry.foo.com{TARGET}", 200, {"Link": link}, b"")


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
    assert next_page(linking(link), TARGET, "cannot list x") == target


@given(st.text(max_size=200))
def test_no_link_leads_to_another_origin(link: str) -> None:
    for header in (link, f'<{link}>; rel="next"'):
        with contextlib.suppress(RegistryError):
            target = next_page(linking(header), TARGET, "cannot list x")
            assert target is None or target.startswith("/")


def test_a_link_that_is_not_a_url_is_an_error_not_the_end_of_the_list() -> None:
    with pytest.raises(RegistryError, match=r"cannot list x: .* not a valid URL"):
        next_page(linking('<//[>; rel="next"'), TARGET, "cannot list x")


@given(st.lists(st.lists(st.text(min_size=1, max_size=3))))
def test_each_name_comes_once_in_any_order(pages: list[list[str]]) -> None:
    names = [name for page in pages for name in page]
    found = each_once(pages, QUERY)
    assert list(found) == list(dict.fromkeys(names))


def test_an_error_names_its_page_once_and_the_last_name() -> None:
    def pages() -> Iterator[list[str]]:
        yield ["a"]
        raise RegistryError(f"{QUERY.attempt_on(2)}: the registry answers 500")

    with pytest.raises(IncompleteListError) as caught:
        list(each_once(pages(), QUERY))
    assert str(caught.value) == "cannot list x to the end: page 2: the registry answers 500"
    assert caught.value.last == "a"


def test_an_error_before_the_first_name_is_raised_unchanged() -> None:
    def pages() -> Iterator[list[str]]:
        yield []
        raise NotPermittedError("cannot list x: forbidden")

    with pytest.raises(NotPermittedError):
        list(each_once(pages(), QUERY))
