"""The lines of an auth file: what each one says, and that editing some keeps the others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.authfile.lines import Lines, parse_line
from tests.authfile.files import HASH, HOSTILE, NAMES, ROWS


@given(st.binary())
def test_content_is_returned_byte_for_byte(content: bytes) -> None:
    lines = Lines(content)
    list(lines)
    lines.malformed()
    lines.texts()
    assert lines.content == content


def test_each_kind_of_line_is_recognized() -> None:
    kinds = [(line.number, line.kind, line.name) for line in Lines(HOSTILE)]
    assert kinds == [
        (1, "user", "\ufeffbom"),
        (2, "comment", ""),
        (3, "blank", ""),
        (4, "blank", ""),
        (5, "user", "indented"),
        (6, "user", "twice"),
        (7, "user", "twice"),
        (8, "user", "caf\udce9"),
        (9, "user", ""),
        (10, "user", "empty"),
        (11, "locked", "shut"),
        (12, "comment", ""),
        (13, "user", "unknown"),
        (14, "user", "last"),
    ]


@pytest.mark.parametrize(
    ("content", "numbers"),
    [
        (b"a:1\nno colon\nb:2\n", [2]),
        (b"a:1\n\xff\xfea\0:\0", [2]),
        (b"a:1\r\n\r\n# comment\n  # comment\n", []),
        ("a:1\n\xa0\u2003\n\u3000# comment\n\x85b:2\n".encode(), []),
        (b"a:1\n\xa0\n\x1f\n", [2, 3]),
        (b"password", [1]),
        (b"\0", [1]),
        (b"", []),
    ],
)
def test_malformed_lines_are_those_that_the_registry_rejects(
    content: bytes, numbers: list[int]
) -> None:
    assert [line.number for line in Lines(content).malformed()] == numbers


@given(ROWS, NAMES)
def test_the_lines_of_a_name_are_the_same_by_search_and_by_index(
    rows: list[bytes], name: str
) -> None:
    content = b"\n".join(rows)
    searched, indexed = Lines(content), Lines(content)
    for other in ("x", "y", "z"):
        indexed.of(other)
    assert searched.of(name) == indexed.of(name)
    assert searched.of(name) == [line for line in Lines(content) if line.name == name]


@given(ROWS, NAMES, st.booleans(), st.booleans())
def test_edits_have_the_same_result_whether_the_content_was_split_or_not(
    rows: list[bytes], name: str, remove: bool, insert: bool
) -> None:
    whole, split = Lines(b"\n".join(rows)), Lines(b"\n".join(rows))
    list(split)
    for other in ("x", "y", "z"):
        split.of(other)
    assert whole.malformed() == split.malformed()
    for lines in (whole, split):
        lines.append(name, name.encode() + b":1")
        lines.append("another", b"another:2")
        lines.replace(lines.of(name)[0], name.encode() + b":3")
        if insert:
            lines.insert_before(lines.of(name)[0], b"# above")
        if remove:
            lines.remove(lines.of(name))
            assert lines.of(name) == []
    assert whole.content == split.content
    assert list(whole) == list(Lines(whole.content)) or remove


def test_an_appended_line_never_joins_the_last_one() -> None:
    for lines in (Lines(b"alice:1"), Lines(b"alice:1\n")):
        lines.append("bob", b"bob:2")
        assert lines.content == b"alice:1\nbob:2\n"
        assert [line.number for line in lines.of("bob")] == [2]


def test_a_removed_line_leaves_the_numbers_of_the_others() -> None:
    lines = Lines(b"a:1\nb:2\nc:3")
    lines.remove(lines.of("b"))
    assert lines.content == b"a:1\nc:3\n"
    assert [(line.number, line.name) for line in lines] == [(1, "a"), (3, "c")]
    assert lines.texts() == ["a:1", "", "c:3", ""]


def test_no_hash_is_in_the_repr_of_a_line() -> None:
    assert HASH not in repr(parse_line(1, f"a:{HASH}".encode()))
