"""The challenges of a 401, as servers send them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.registry.challenges import Challenge, parse_challenges

BEARER = Challenge(
    "bearer",
    {"realm": "https://auth.foo.com/token", "service": "foo", "scope": "repository:a:pull"},
)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (['Basic realm="a"'], [Challenge("basic", {"realm": "a"})]),
        (["basic REALM=a"], [Challenge("basic", {"realm": "a"})]),
        (
            ['Bearer realm="https://auth.foo.com/token",service="foo",scope="repository:a:pull"'],
            [BEARER],
        ),
        (
            ["Bearer  realm = https://r ,  service = s"],
            [Challenge("bearer", {"realm": "https://r", "service": "s"})],
        ),
        (
            ['Negotiate, Basic realm="a, b", Bearer realm="r"'],
            [
                Challenge("negotiate"),
                Challenge("basic", {"realm": "a, b"}),
                Challenge("bearer", {"realm": "r"}),
            ],
        ),
        (
            ["Negotiate", 'Basic realm="x"'],
            [Challenge("negotiate"), Challenge("basic", {"realm": "x"})],
        ),
        (
            [r'Basic realm="say \"hi\" \\ there"'],
            [Challenge("basic", {"realm": r'say "hi" \ there'})],
        ),
        (['Basic realm="one", realm="two"'], [Challenge("basic", {"realm": "one"})]),
        (['Basic realm="never closed'], [Challenge("basic")]),
        (["", ",,,", '"'], []),
        (["realm=alone"], []),
    ],
)
def test_challenges_are_read_in_every_form(headers: list[str], found: list[Challenge]) -> None:
    assert list(parse_challenges(headers)) == found


schemes = st.sampled_from(["Basic", "Bearer", "Negotiate"])
names = st.sampled_from(["realm", "service", "scope", "error"])
values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
made = st.lists(st.tuples(schemes, st.dictionaries(names, values, min_size=1, max_size=3)))


@given(made)
def test_quoted_values_survive_parsing(
    challenges: list[tuple[str, dict[str, str]]],
) -> None:
    def quoted(value: str) -> str:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'

    header = ", ".join(
        f"{scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in parameters.items())
        for scheme, parameters in challenges
    )
    expected = [Challenge(scheme.lower(), parameters) for scheme, parameters in challenges]
    assert list(parse_challenges([header])) == expected


@given(st.text())
def test_no_header_raises_an_error(header: str) -> None:
    parse_challenges([header])


def test_at_most_32_challenges_of_64_kib_are_read() -> None:
    assert len(parse_challenges(["Basic"] * 99)) == 32
    assert parse_challenges([f'Digest realm="{"x" * 70_000}"', "Basic"]) == (Challenge("digest"),)
    assert parse_challenges(["Bearer", "x" * 70_000, "Basic"])[:1] == (Challenge("bearer"),)
    assert all(c.scheme != "basic" for c in parse_challenges(["x" * 70_000, "Basic"]))
