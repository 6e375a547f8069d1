"""YAML out and in: manifests for `kubectl apply`, and declared files. Owns PyYAML."""

from collections.abc import Iterable
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
