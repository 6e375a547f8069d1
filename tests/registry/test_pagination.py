"""The link to the next page, and telling new names from old ones in little memory."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.registry.pagination import Seen, next_page

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


@given(st.lists(st.text(min_size=1, max_size=3)))
def test_each_name_is_new_once_in_any_order(names: list[str]) -> None:
    seen = Seen()
    assert [name for name in names if seen.is_new(name)] == list(dict.fromkeys(names))


def test_a_name_of_a_list_in_order_costs_few_bytes() -> None:
    seen = Seen()
    tracemalloc.start()
    try:
        for number in range(100_000):
            assert seen.is_new(f"team-{number:06}/a-name-of-some-length")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_500_000
