"""The day on which a user expires, as people type it."""

from datetime import date

import pytest

from regctl.authfile.expiry import Expiry
from regctl.errors import InvalidInputError


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("90d", date(2026, 4, 1)),
        ("2w", date(2026, 1, 15)),
        ("2026-01-02", date(2026, 1, 2)),
        ("never", None),
    ],
)
def test_an_expiry_is_a_span_a_date_or_never(text: str, day: date | None) -> None:
    assert Expiry.parse(text, date(2026, 1, 1)).day == day


@pytest.mark.parametrize(
    "text", ["", "soon", "90", "90h", "2026-13-01", "2026-01-01", "2025-12-31", "0d", "999999w"]
)
def test_an_invalid_or_past_expiry_is_rejected(text: str) -> None:
    with pytest.raises(InvalidInputError, match="invalid expiry"):
        Expiry.parse(text, date(2026, 1, 1))
