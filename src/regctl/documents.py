"""YAML out and in: manifests for `kubectl apply`, and declared files. Owns PyYAML."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from regctl.errors import MalformedError

# For who calls a package that reads YAML by itself.
PARSE_ERROR: type[Exception] = yaml.YAMLError


class _Dumper(yaml.SafeDumper):
    """Never anchors and aliases: a manifest is read by people and by other tools."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def dump(documents: Iterable[Any]) -> str:
    """Return *documents* as YAML, keys in the order given, `---` between two of them."""
    return yaml.dump_all(
        documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False
    )


def load(text: str, *, source: str) -> Any:
    """
    Return what one YAML document holds; *source* names it in errors.

    Raises MalformedError with the line for anything that is not YAML.
    """
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise MalformedError(f"cannot read {source}{line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise MalformedError(f"cannot read {source}: not YAML") from error


@dataclass(frozen=True)
class Located:
    """A document and the line of each of its parts, by the keys and indexes that lead there."""

    value: Any
    lines: Mapping[tuple[str | int, ...], int]

    def line(self, path: tuple[str | int, ...]) -> int:
        """Return the line of a part, counted from 1; of what it is in, where it is not there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def load_located(text: str, *, source: str) -> Located:
    """
    Return what one YAML document holds, with lines; errors as `load`.

    A key that stands twice in a mapping is an error too: YAML would let the last one win.
    """
    value = load(text, source=source)
    lines: dict[tuple[str | int, ...], int] = {}

    def walk(node: yaml.Node | None, path: tuple[str | int, ...]) -> None:
        if node is None:
            return
        lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, child in node.value:
                there = (*path, str(key.value))
                line = key.start_mark.line + 1
                if there in lines:
                    raise MalformedError(f"cannot read {source}, line {line}: {key.value} again")
                lines[there] = line
                walk(child, there)
        elif isinstance(node, yaml.SequenceNode):
            for index, child in enumerate(node.value):
                walk(child, (*path, index))

    walk(yaml.compose(text, Loader=yaml.SafeLoader), ())
    return Located(value, lines)
