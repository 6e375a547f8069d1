"""docs/output.md shows what every command prints with `-o json`."""

from collections.abc import Callable

from docs.commands import leaves
from docs.output import HOST, NAMESPACES, SCENE, documented, play, prints_objects, shape
from regctl.cli.main import main
from tests.cli import run
from tests.servers.kubernetes import ApiServer


def test_every_command_with_json_is_in_the_document() -> None:
    with_json = {
        path
        for path, command in leaves(main, "regctl")
        if any("-o" in param.opts and "json" in param.type.choices for param in command.params)  # type: ignore[attr-defined]
    }
    lines = [line.format(host=HOST, **NAMESPACES) for line in SCENE]
    shown = {path for path in with_json for line in lines if f"{line} ".startswith(f"{path} ")}
    assert shown == with_json
    documents = [line for line in lines if not prints_objects(line)]
    assert list(documented()) == documents, "run `make output`"


def test_every_document_has_the_documented_keys(
    kubernetes: ApiServer, namespace: str, program: Callable[[str], str]
) -> None:
    program("registry")
    known = documented()
    names = {key: f"{namespace}-{key}" for key in NAMESPACES}
    for line, printed in play(kubernetes, names):
        if not prints_objects(line):
            assert shape(printed) == shape(known[line]), f"{line}: run `make output`"


def test_a_command_that_fails_prints_a_document_too() -> None:
    result = run("users", "-f", "/nowhere", "-o", "json")
    assert result.exit_code == 1
    assert '"exit_code": 1' in result.stdout
