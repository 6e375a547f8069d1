"""Columns and arguments that the commands about images share."""

from datetime import datetime, timezone

import pytest

from regctl.cli.images import (
    created_column,
    digest_column,
    parse_platform,
    parse_repository,
    size_column,
)
from regctl.cli.listings import Column
from regctl.errors import InvalidInputError
from regctl.images.manifests import Platform

DIGEST = f"sha256:{'0123456789abcdef' * 4}"


def cells(column: Column[object], value: object) -> tuple[str, str]:
    """The text of a value on a terminal and in a pipe."""
    (get, shown), (_, exact) = (column.value_and_text(exact=exact) for exact in (False, True))
    return shown(get(value)), exact(get(value))


def test_values_are_short_on_a_terminal_and_exact_in_a_pipe() -> None:
    digests: Column[object] = digest_column(lambda value: str(value) if value else None)
    assert cells(digests, DIGEST) == (DIGEST[:19], DIGEST)
    sizes: Column[object] = size_column(lambda value: value if isinstance(value, int) else None)
    assert cells(sizes, 12_345_678) == ("12.3 MB", "12345678")
    dates: Column[object] = created_column(lambda v: v if isinstance(v, datetime) else None)
    moment = datetime(2020, 1, 2, tzinfo=timezone.utc)
    shown, exact = cells(dates, moment)
    assert shown.endswith("d")
    assert exact == "2020-01-02T00:00:00+00:00"
    for column in (digests, sizes, dates):
        assert cells(column, None) == ("", "")


def test_a_platform_is_parsed_when_it_is_typed() -> None:
    assert parse_platform("linux/arm64") == Platform("linux", "arm64")
    with pytest.raises(InvalidInputError, match="not a platform"):
        parse_platform("linux")


def test_a_repository_has_no_tag() -> None:
    assert parse_repository("foo.com/team/app", command="image inspect").repository == "team/app"
    with pytest.raises(InvalidInputError, match="one image, not a repository") as caught:
        parse_repository("foo.com/team/app:1", command="image inspect")
    assert caught.value.hint == "`regctl image inspect foo.com/team/app:1`"
