"""Requests as data."""

from regctl.cluster.request import Request, cannot
from regctl.cluster.resource import NAMESPACES, SECRETS


def test_a_parameter_without_a_value_is_omitted() -> None:
    request = Request("GET", "/api/v1/secrets", "cannot", {"limit": "5", "labelSelector": None})
    assert request.target == "/api/v1/secrets?limit=5"
    assert Request("GET", "/api", "cannot", {"force": None}).target == "/api"
    assert request.data is None
    assert "Content-Type" not in request.headers


def test_a_patch_asks_for_metadata_only_and_hides_its_body() -> None:
    request = Request("PATCH", "/x", "cannot", body={"a": "secret"}, content_type="text/x")
    assert "PartialObjectMetadata" in request.headers["Accept"]
    assert request.headers["Content-Type"] == "text/x"
    assert request.data == b'{"a":"secret"}'
    assert "secret" not in repr(request)


def test_the_attempt_names_the_object() -> None:
    assert cannot("read", SECRETS, "a", "x") == "cannot read secret x in namespace a"
    assert cannot("read", NAMESPACES, None, "a") == "cannot read namespace a"
