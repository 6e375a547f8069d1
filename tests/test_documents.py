from collections.abc import Callable

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize("load", [documents.load, documents.load_located])
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 2000, "nested too deeply"),
        ("- " * 2000, "nested too deeply"),
        ("x: 1\na: &a [*a]", "an alias; write the value out"),
        ("x: &x a\na: *x", "an alias; write the value out"),
        ("x: &x {b: 1}\na: {<<: *x}", "an alias; write the value out"),
        ("\n\n- !!int 1:" + "1:" * 50_000 + "1", "line 3: not a valid int"),
        ("- !!float 1" + "0" * 5000, "not a valid float"),
        ("- 2026-13-45", "not a valid timestamp"),
        ("- !!int many", "not a valid int"),
        ("- !!bool maybe", "not a valid bool"),
        ("- !!timestamp later", "not a valid timestamp"),
        ('- "\\ud800"', "not a valid str"),
        ('"\\ud800": 1', "not a valid str"),
        ('- "\\UFFFFFFFF"', "not YAML"),
        ("- !!python/object:os.system x", "could not determine a constructor"),
        ("? [a]\n: 1", "found unhashable key"),
    ],
)
def test_a_document_that_pyyaml_reads_with_an_unexpected_error_or_without_an_end_is_rejected(
    load: Callable[..., object], text: str, problem: str
) -> None:
    with pytest.raises(MalformedError, match=rf"cannot read sync\.yaml.*{problem}"):
        load(text, source="sync.yaml")


def test_a_number_that_python_does_not_read_is_a_string() -> None:
    assert documents.load("1" * 5000, source="it") == "1" * 5000


def test_a_billion_laughs_are_refused_at_the_first_alias() -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    with pytest.raises(MalformedError, match=r"line 2: an alias; write the value out"):
        documents.load_located("\n".join(lines), source="it")


def test_the_number_of_values_is_limited() -> None:
    with pytest.raises(MalformedError, match="more than 100000 values"):
        documents.load("[" + "a," * 100_000 + "]", source="it")


def test_a_kubeconfig_may_have_aliases() -> None:
    text = "x: &x {b: 1}\na: {<<: *x}"
    assert documents.load(text, source="it", aliases=True)["a"] == {"b": 1}


# What readers of YAML 1.1 or 1.2 take for something else than a string.
AMBIGUOUS = """
    yes no on off y n Y N Yes NO true False null Null ~ 012 089 0o17 0b11 0x1f 0X1F 1_000 1__0
    1:30 1:30.5 1e3 1E3 1e+3 1.0e3 .5 5. +1 -1 +.inf -.INF .nan 2026-12-01 2026-12-01T03:04:05Z
    << = ? - 123456789012345678901 1_0.5e1 0_1 12e03
"""


@pytest.mark.parametrize("text", [*AMBIGUOUS.split(), ""])
def test_a_string_that_looks_like_something_else_is_quoted(text: str) -> None:
    written = documents.dump([{"it": text, text: "it"}])
    assert written.splitlines()[0] in {f"it: '{text}'", f'it: "{text}"'}
    assert yaml.safe_load(written) == {"it": text, text: "it"}


@pytest.mark.parametrize("text", ["registry.foo.com:5000/app", "v1.10", "team-a", "1.37.2", "日本"])
def test_an_ordinary_string_is_not_quoted(text: str) -> None:
    assert documents.dump([{"it": text}]) == f"it: {text}\n"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
        | st.text() | st.sampled_from(AMBIGUOUS.split()),
        lambda values: st.lists(values, max_size=4)
        | st.dictionaries(st.text() | st.sampled_from(AMBIGUOUS.split()), values, max_size=4),
        max_leaves=8,
    )
)  # fmt: skip
def test_what_is_written_steers_no_terminal_and_reads_back_equal(value: object) -> None:
    """PyYAML is a reader of YAML 1.1."""
    written = documents.dump([value])
    assert written.replace("\n", "").isprintable()
    assert yaml.safe_load(written) == value


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
