"""The errors that a response names, in the forms of several products."""

import json

import pytest

from regctl.registry.response import Response


def response(body: bytes) -> Response:
    return Response("GET", "https://registry.foo.com/v2/", 400, {}, body)


@pytest.mark.parametrize(
    ("document", "codes", "texts"),
    [
        ({"errors": [{"code": "DENIED", "message": "no"}]}, {"DENIED"}, ["no"]),
        ({"errors": [{"code": "A"}, {"code": "B"}]}, {"A", "B"}, ["A", "B"]),
        ({"errors": [{"code": 404}, "text", None]}, set(), ["error"]),
        ({"errors": []}, set(), []),
        ({"code": "UNAUTHORIZED", "message": "zot's"}, {"UNAUTHORIZED"}, ["zot's"]),
        ({"details": "Docker Hub's"}, set(), ["Docker Hub's"]),
        ({"error": "Quay's"}, set(), ["Quay's"]),
        ({"repositories": []}, set(), []),
        ([1], set(), []),
    ],
)
def test_errors_are_read_in_every_form(document: object, codes: set[str], texts: list[str]) -> None:
    reply = response(json.dumps(document).encode())
    assert reply.codes == codes
    assert reply.error_texts == texts


@pytest.mark.parametrize("body", [b"", b"<html>DENIED", b"[" * 100_000, b'{"a": "\xff"}'])
def test_a_body_that_is_not_json_names_no_error(body: bytes) -> None:
    assert response(body).document is None
    assert response(body).errors == []
