import pytest

from regctl.errors import MalformedError
from regctl.jsontext import json_object_or_empty, parse_json, parse_json_object


def test_a_document_is_read_from_bytes_and_from_text() -> None:
    assert parse_json(b'{"a": [1]}', source="x") == {"a": [1]}
    assert parse_json("null", source="x") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a":\n secret}', "^cannot read x, line 2: not JSON: "),
        (b"", "^cannot read x, line 1: not JSON: "),
        (b"\xff\xfe\xff", "^cannot read x: not JSON$"),
        (b"[" * 100_000, "^cannot read x: not JSON$"),
    ],
)
def test_an_error_names_source_and_line_and_does_not_quote_the_document(
    text: bytes, message: str
) -> None:
    with pytest.raises(MalformedError, match=message) as caught:
        parse_json(text, source="x")
    assert "secret" not in caught.value.message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("text", ["[]", "null", '"a"', "5"])
def test_only_an_object_is_an_object(text: str) -> None:
    with pytest.raises(MalformedError, match="cannot read x: not a JSON object"):
        parse_json_object(text, source="x")
    assert json_object_or_empty(text) == {}


def test_what_is_not_json_is_an_empty_object_if_asked_for() -> None:
    assert json_object_or_empty(b"<html>") == {}
    assert json_object_or_empty(b'{"a": 1}') == {"a": 1}
