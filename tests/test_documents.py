import pytest

from regctl import documents
from regctl.errors import MalformedError


def test_documents_come_out_in_the_order_given_and_read_back_equal() -> None:
    text = documents.dump([{"kind": "Secret", "apiVersion": "v1"}, {"kind": "List"}])
    assert text == "kind: Secret\napiVersion: v1\n---\nkind: List\n"


def test_a_value_used_twice_is_written_out_twice() -> None:
    labels = {"a": "b"}
    assert "&id" not in documents.dump([{"x": labels, "y": labels}])


def test_strings_that_look_like_other_things_stay_strings() -> None:
    value = {"password": "0123", "tag": "1.10", "yes": "no", "empty": ""}
    assert documents.load(documents.dump([value]), source="it") == value


@pytest.mark.parametrize(
    ("text", "where"),
    [("a: [1", "line"), ("a: b\n  c: d\n", "line 2"), ("a: \x00", "sync.yaml")],
)
def test_what_is_not_yaml_is_named_with_its_line(text: str, where: str) -> None:
    with pytest.raises(MalformedError, match=where):
        documents.load(text, source="sync.yaml")
