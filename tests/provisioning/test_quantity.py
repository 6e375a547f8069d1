"""Sizes as people write them, and as the API server does."""

import pytest

from regctl.errors import InvalidInputError
from regctl.provisioning.quantity import canonical, size_in_bytes


@pytest.mark.parametrize(
    ("text", "written", "size"),
    [
        ("10Gi", "10Gi", 10 * 2**30),
        ("1.5Ti", "1536Gi", 3 * 2**39),
        ("1024Mi", "1Gi", 2**30),
        ("2000G", "2T", 2 * 10**12),
        ("500", "500", 500),
        ("0.5k", "500", 500),
        ("1000", "1k", 1000),
    ],
)
def test_a_size_is_written_as_the_api_server_does(text: str, written: str, size: int) -> None:
    assert (canonical(text), size_in_bytes(text)) == (written, size)


@pytest.mark.parametrize("text", ["", "ten", "0", "0Gi", "-1Gi", "10 Gi", "10GB", "1.5", "0.3Ki"])
def test_other_texts_are_not_sizes(text: str) -> None:
    with pytest.raises(InvalidInputError, match="not a size"):
        size_in_bytes(text)
