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


@pytest.mark.parametrize("text", ["[" * 2000, "a: &a [*a]"])
def test_a_document_that_is_nested_too_deeply_is_rejected(text: str) -> None:
    with pytest.raises(MalformedError, match=r"cannot read sync\.yaml: nested too deeply"):
        documents.load_located(text, source="sync.yaml")


def test_each_part_has_its_line_and_a_missing_part_the_line_of_its_parent() -> None:
    located = documents.load_located("a:\n  - b: 1\n  - c:\n      d: 2\n", source="it")
    assert located.value == {"a": [{"b": 1}, {"c": {"d": 2}}]}
    assert located.line(("a",)) == 1
    assert located.line(("a", 1)) == 3
    assert located.line(("a", 1, "c", "d")) == 4
    assert located.line(("a", 1, "c", "x")) == 3
    assert located.line(("z",)) == 1


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "b:\n  a: 1\n  a: 3\n"])
def test_a_key_that_is_there_twice_is_rejected_with_its_line(text: str) -> None:
    with pytest.raises(MalformedError, match="cannot read it, line 3: key a is there twice"):
        documents.load_located(text, source="it")
