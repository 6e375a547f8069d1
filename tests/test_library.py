"""`import regctl`: the names of the library, imported at first use."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import regctl

SOURCE = ast.parse(Path(regctl.__file__).read_text())


@pytest.mark.parametrize("name", regctl._MODULES)
def test_each_name_comes_from_the_module_that_defines_it(name: str) -> None:
    value = getattr(regctl, name)
    assert value.__module__ == f"regctl.{regctl._MODULES[name]}"
    assert value.__name__ == name


def test_type_checkers_see_the_same_names_from_the_same_modules() -> None:
    typed = {
        alias.asname: (node.module or "").removeprefix("regctl.")
        for node in ast.walk(SOURCE)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    assert typed == regctl._MODULES


def test_all_and_dir_name_the_library() -> None:
    assert set(regctl._MODULES) < set(regctl.__all__)
    assert set(regctl.__all__) <= set(dir(regctl))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'regctl' has no attribute 'Regsitry'"):
        regctl.Regsitry  # noqa: B018 # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("statement", "loaded"),
    [
        ("import regctl", {"regctl"}),
        ("from regctl import RegctlError", {"regctl", "regctl.errors"}),
    ],
)
def test_an_import_loads_what_it_needs_and_nothing_else(statement: str, loaded: set[str]) -> None:
    program = f"""
import sys
before = set(sys.modules)
{statement}
print(*(name for name in set(sys.modules) - before if not hasattr(sys, "stdlib_module_names")
      or name.partition(".")[0] not in sys.stdlib_module_names))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert set(run.stdout.split()) == loaded
