"""YAML out and in: manifests for `kubectl apply`, and declared files. Owns PyYAML."""

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


def dump(documents: Iterable[Any]) -> str:
    """Return *documents* as YAML, keys in the order given, separated by `---`."""
    return yaml.dump_all(
        documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False
    )


def load(text: str, *, source: str) -> Any:
    """
    Return the value of a YAML document; *source* names it in errors.

    Raises MalformedError with the line if it is not YAML.
    """
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise MalformedError(f"cannot read {source}{line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise MalformedError(f"cannot read {source}: not YAML") from error
    except RecursionError:
        raise MalformedError(f"cannot read {source}: nested too deeply") from None


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
    value = load(text, source=source)
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    lines: dict[KeyPath, int] = {}
    try:
        for path, line in _parts(root, ()):
            if path in lines:
                raise MalformedError(
                    f"cannot read {source}, line {line}: key {path[-1]} is there twice"
                )
            lines[path] = line
    except RecursionError:
        # An alias within the node that its anchor names.
        raise MalformedError(f"cannot read {source}: nested too deeply") from None
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
