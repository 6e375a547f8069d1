"""What an apply would change, decided without a request."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.cluster.drift import changes, owns

FIELDS = {
    "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
    "f:spec": {
        "f:size": {},
        "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}}},
        "f:finalizers": {'v:"a"': {}},
    },
}
MANIFEST: dict[str, Any] = {
    "metadata": {"labels": {"app": "x"}},
    "spec": {"size": 3, "ports": [{"name": "http", "port": 80}], "finalizers": ["a"]},
}


def there(manager: str = "regctl", operation: str = "Apply", **spec: Any) -> dict[str, Any]:
    """The object with the defaults of the API server."""
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    entry = {"manager": manager, "operation": operation, "fieldsV1": FIELDS}
    return {
        "metadata": {"labels": {"app": "x", "other": "y"}, "managedFields": [entry]},
        "spec": {"size": 3, "ports": ports, "finalizers": ["a"], "default": 1, **spec},
    }


def test_defaults_of_the_api_server_are_no_difference() -> None:
    assert not changes(MANIFEST, there())


@pytest.mark.parametrize(
    "spec",
    [
        {"size": 4},
        {"size": None},
        {"ports": []},
        {"ports": [{"name": "https", "port": 80, "protocol": "TCP"}]},
        {"ports": "80"},
        {"finalizers": ["a", "b"]},
    ],
)
def test_another_value_is_a_difference(spec: dict[str, Any]) -> None:
    assert changes(MANIFEST, there(**spec))


@pytest.mark.parametrize(
    "spec",
    [
        {"ports": [{"name": "http", "port": 80}], "finalizers": ["a"]},
        {"size": 3, "ports": [{"port": 80}], "finalizers": ["a"]},
        {"size": 3, "ports": [], "finalizers": ["a"]},
        {"size": 3, "ports": [{"name": "http", "port": 80}], "finalizers": []},
        {"size": 3, "ports": [{"name": "http", "port": 80}]},
    ],
)
def test_an_applied_field_that_is_omitted_now_is_a_difference(spec: dict[str, Any]) -> None:
    manifest = {**MANIFEST, "spec": spec}
    live = there(**{key: value for key, value in spec.items() if key in {"ports", "finalizers"}})
    assert changes(manifest, live)


def test_fields_of_other_managers_are_no_difference() -> None:
    smaller = {"spec": {"size": 3}}
    assert changes(smaller, there())
    for theirs in (there("kubectl"), there(operation="Update"), {"spec": {"size": 3}}):
        assert not changes(smaller, theirs)


def test_owns_finds_a_field_by_its_path() -> None:
    assert owns(there(), "spec", "size")
    assert not owns(there(), "spec", "default")
    assert not owns(there("kubectl"), "spec", "size")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3))
def test_an_object_never_differs_from_itself(manifest: dict[str, Any]) -> None:
    assert not changes(manifest, manifest)


def test_an_element_of_another_manager_is_no_difference() -> None:
    """Server-side apply merges such a list by its keys."""
    other = {"name": "debug", "port": 81, "protocol": "TCP"}
    ours = {"name": "http", "port": 80, "protocol": "TCP"}
    assert not changes(MANIFEST, there(ports=[other, ours]))
    assert changes(MANIFEST, there(ports=[other, {**ours, "name": "https"}]))
