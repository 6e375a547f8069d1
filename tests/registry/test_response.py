"""The errors that a response names, in the forms of several products."""

import json

import pytest

from regctl.registry.response import Response, whole_number


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


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("1048576", 1048576),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, None),
        ("9" * 5000, None),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("²", None),
    ],
)
def test_a_number_in_a_header_is_bounded(text: str, number: int | None) -> None:
    assert whole_number(text) == number
