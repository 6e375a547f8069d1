"""The check of a document against a JSON schema."""

import copy
import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


# A document with each part of the schema, and mistakes to put into it.
COMPLETE: dict[str, Any] = {
    "name": "x",
    "secrets": [
        {
            "name": "regcred",
            "registries": [
                {"server": "r.io", "email": "a@b.c", "credential": {"docker": True}},
                {"server": "r.io", "credential": {"env": {"username": "U", "password": "P"}}},
                {"server": "r.io", "credential": {"file": {"username": "u", "path": "p"}}},
                {"server": "r.io", "credential": {"secret": "a/b"}},
            ],
            "targets": {"namespaces": ["a"], "all": True, "selector": "a=b", "exclude": ["*"]},
            "attach": ["default"],
            "merge": False,
        }
    ],
}
MISTAKES = st.sampled_from([None, "", "x", "A b", 5, True, [], ["x"], [5], {}, {"x": 1}])


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a document."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from paths(value[key], (*path, key))


@given(st.data())
def test_it_agrees_with_jsonschema(data: st.DataObject) -> None:
    """A document is valid here exactly if jsonschema says so, with one mistake or without."""
    jsonschema = pytest.importorskip("jsonschema")
    document = {"document": copy.deepcopy(COMPLETE)}
    *parents, last = data.draw(st.sampled_from(list(paths(COMPLETE, ("document",)))))
    place: Any = document
    for key in parents:
        place = place[key]
    action = data.draw(st.sampled_from(["keep", "replace", "remove", "add"]))
    if action == "replace":
        place[last] = data.draw(MISTAKES)
    elif action == "remove" and parents:
        del place[last]
    elif action == "add" and isinstance(place, dict) and parents:
        place["unknown"] = data.draw(MISTAKES)
    valid = jsonschema.Draft202012Validator(SCHEMA).is_valid(document["document"])
    try:
        schema.check(SCHEMA, Located(document["document"], {}), source="x")
    except MalformedError:
        assert not valid
    else:
        assert valid
