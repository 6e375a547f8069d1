"""
YAML out and in: manifests for `kubectl apply`, and declared files. Owns PyYAML.

What is read is bounded: PyYAML itself repeats what an alias names without an end, and fails on
numbers, dates and characters in many ways.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from regctl.errors import MalformedError

# For callers of another package that parses YAML itself.
PARSE_ERROR: type[Exception] = yaml.YAMLError


class _Dumper(yaml.SafeDumper):
    """Writes no anchors and aliases: people and other tools read a manifest."""

    def ignore_aliases(self, _data: object) -> bool:
        return True

    def analyze_scalar(self, scalar: str) -> Any:
        """Quote what has characters that could steer a terminal."""
        analysis = super().analyze_scalar(scalar)
        if not _is_printable(scalar):
            analysis.allow_flow_plain = analysis.allow_block_plain = False
            analysis.allow_single_quoted = analysis.allow_block = False
        return analysis

    def write_double_quoted(self, text: str, split: bool = True) -> None:
        """Escape all but ASCII in a text that has such characters."""
        self.allow_unicode = _is_printable(text)
        super().write_double_quoted(text, split)
        self.allow_unicode = True


# Strings that another reader takes for a number or a boolean, and PyYAML does not: 1e3, 089, y.
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:other",
    re.compile(
        r"(?:[-+]?(?:\d[\d_]*\.?[\d_]*|\.[\d_]+)(?:[eE][-+]?\d+)?"
        r"|[-+]?0(?:[xX][\da-fA-F_]+|[oO]?[\d_]+|[bB][01_]+)|[yYnN])\Z",
        re.ASCII,
    ),
    list("-+.0123456789yYnN"),
)


def _is_printable(text: str) -> bool:
    return text.replace("\n", "").isprintable()


_MAX_DEPTH = 64
_MAX_VALUES = 100_000
_MAX_DIGITS = 40


class _Loader(yaml.SafeLoader):
    """Reads no alias, nothing that is nested too deeply, and not too many values."""

    aliases = False
    depth = values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Count the values and the depth before one is read."""
        self.depth += 1
        self.values += 1
        problem = None
        if not self.aliases and self.check_event(yaml.AliasEvent):
            problem = "an alias; write the value out"
        elif self.depth > _MAX_DEPTH:
            problem = "nested too deeply"
        elif self.values > _MAX_VALUES:
            problem = f"more than {_MAX_VALUES} values"
        if problem:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """Return the tag of a node: a long text is no number, and searching it takes memory."""
        is_long = kind is yaml.ScalarNode and len(value) > _MAX_DIGITS
        return super().resolve(kind, "long" if is_long else value, implicit)  # type: ignore[no-untyped-call]

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node; PyYAML's functions fail on numbers, dates and tags."""
        if node.tag.endswith((":int", ":float")) and len(node.value) > _MAX_DIGITS:
            raise _invalid(node)
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, str):
                value.encode()  # an escape may be half of a surrogate pair
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
            raise _invalid(node) from None
        return value


def dump(documents: Iterable[Any]) -> str:
    """Return *documents* as YAML, keys in the order given, separated by `---`."""
    return yaml.dump_all(
        documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False
    )


def _invalid(node: yaml.Node) -> yaml.MarkedYAMLError:
    kind = node.tag.rpartition(":")[2]
    return yaml.MarkedYAMLError(problem=f"not a valid {kind}", problem_mark=node.start_mark)


def load(text: str, *, source: str, aliases: bool = False) -> Any:
    """
    Return the value of a YAML document; *source* names it in errors.

    Raises MalformedError with the line if it is not YAML, or too large. *aliases* allows them, for
    a value that nobody walks through.
    """
    return _read(text, source=source, aliases=aliases)[1]


def _read(text: str, *, source: str, aliases: bool = False) -> tuple[yaml.Node | None, Any]:
    """Return the node of a YAML document and its value."""
    try:
        loader = _Loader(text)
        loader.aliases = aliases
        node = loader.get_single_node()
        return node, None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise MalformedError(f"cannot read {source}{line}: {error.problem}") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # The last two: an escape that names no character.
        raise MalformedError(f"cannot read {source}: not YAML") from error


KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Located:
    """A document, and the line of each of its parts by its path of keys and indexes."""

    value: Any
    lines: Mapping[KeyPath, int]

    def line(self, path: KeyPath) -> int:
        """Return the line of a part, counted from 1; if it is missing, the line of its parent."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def load_located(text: str, *, source: str) -> Located:
    """
    Return the value of a YAML document with its lines; raises the errors of `load`.

    A key that is twice in a mapping is an error too. YAML itself would use the last one.
    """
    root, value = _read(text, source=source)
    lines: dict[KeyPath, int] = {}
    for path, line in _parts(root, ()):
        if path in lines:
            raise MalformedError(
                f"cannot read {source}, line {line}: key {path[-1]} is there twice"
            )
        lines[path] = line
    return Located(value, lines)


def _parts(node: yaml.Node | None, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    """Yield the path and line of each part of *node*; a key that is there twice comes twice."""
    children: list[tuple[str | int, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        children = [(str(key.value), key, child) for key, child in node.value]
    elif isinstance(node, yaml.SequenceNode):
        children = [(index, child, child) for index, child in enumerate(node.value)]
    for name, start, child in children:
        yield (*path, name), start.start_mark.line + 1
        yield from _parts(child, (*path, name))
