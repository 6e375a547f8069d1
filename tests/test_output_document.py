"""docs/output.md says what every command prints with `-o json`."""

from click.testing import CliRunner

from docs.commands import leaves
from docs.output import HOST, OBJECTS, SCENE, documented, play, shape
from regctl.cli.main import main
from tests.servers.process import find


def test_every_command_with_json_is_in_the_document() -> None:
    printing = {
        path
        for name in main.commands
        for path, command in leaves(main.commands[name], f"regctl {name}")
        if any("-o" in param.opts and "json" in param.type.choices for param in command.params)  # type: ignore[attr-defined]
    }
    shown = {
        path for path in printing for line in SCENE if line.startswith(f"{path} ") or line == path
    }
    assert shown == printing
    lines = [line.format(host=HOST) for line in SCENE if not line.startswith(OBJECTS)]
    assert list(documented()) == lines, "`make output` writes it anew"


def test_every_document_has_the_keys_that_are_documented() -> None:
    for server in ("docker-registry", "etcd", "kube-apiserver"):
        find(server)
    known = documented()
    for line, printed in play():
        if not line.startswith(OBJECTS):
            assert shape(printed) == shape(known[line]), line


def test_a_command_that_fails_prints_a_document_too() -> None:
    told = CliRunner().invoke(main, ["users", "-f", "/nowhere", "-o", "json"], prog_name="regctl")
    assert told.exit_code == 1
    assert '"exit_code": 1' in told.stdout
