"""The check of a document against a JSON schema."""

import json
from importlib import resources
from typing import Any

import pytest

from regctl.documents import Located
from regctl.errors import MalformedError
from regctl.pullsecrets import schema, sync

SCHEMA = json.loads(resources.files("regctl.pullsecrets").joinpath(sync.SCHEMA_FILE).read_text())


def test_a_keyword_that_is_not_checked_is_an_error() -> None:
    assert SCHEMA["$schema"].endswith("2020-12/schema")
    with pytest.raises(NotImplementedError):
        schema.check({**SCHEMA, "oneOf": []}, Located({}, {}), source="x")


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"name": "x", "secrets": []}, "secrets: must not be empty"),
        ({"name": 5, "secrets": []}, "name: must be text"),
        ({"secrets": []}, "name is missing"),
        ({"name": "x", "secret": []}, "secret: is not a known key; known are name, secrets"),
        ([], "must be a mapping"),
    ],
)
def test_the_first_fault_is_reported_with_its_path(value: Any, fault: str) -> None:
    with pytest.raises(MalformedError) as caught:
        schema.check(SCHEMA, Located(value, {}), source="x")
    assert caught.value.message.startswith("cannot use x, line ")
    assert fault in caught.value.message
