"""`regctl tags` on a real registry."""

import json

import pytest
from click.testing import Result

from tests import cli
from tests.conftest import Servers
from tests.servers.standin_registry import Answer, StandinRegistry, standin_registry


def tags(*args: str) -> Result:
    return cli.run("tags", *args, "--plain-http")


def test_tags_in_a_pipe(two_platforms: str) -> None:
    assert tags(two_platforms).stdout == "1.0\n2.0\nall\n"
    assert tags(two_platforms, "--match", "?.0", "-o", "name").stdout == (
        f"{two_platforms}:1.0\n{two_platforms}:2.0\n"
    )


def test_tags_with_digest_size_platforms_and_date(two_platforms: str) -> None:
    rows = [line.split("\t") for line in tags(two_platforms, "--long").stdout.splitlines()]
    assert [(row[0], row[3], row[4]) for row in rows] == [
        ("1.0", "linux/amd64", "2026-01-01T00:00:00+00:00"),
        ("2.0", "linux/arm64", "2026-02-02T00:00:00+00:00"),
        ("all", "linux/amd64,linux/arm64", "2026-02-02T00:00:00+00:00"),
    ]
    one, two, both = (int(row[2]) for row in rows)
    assert both == one + two - 600, "the shared layer counts once"
    newest = tags(two_platforms, "--long", "--sort", "created", "-o", "name").stdout.split()
    assert newest[-1] == f"{two_platforms}:1.0"


def test_a_tag_that_cannot_be_read_has_an_error(serve: Servers) -> None:
    state = StandinRegistry()
    state.put_image("a", "1.0", b"layer")
    state.put_image("a", "2.0", b"layer")
    state.script = lambda r: Answer(403) if r.path == "/v2/a/manifests/2.0" else None
    image = f"{serve(standin_registry(state)).host}/a"
    result = tags(image, "--long")
    assert result.exit_code == 3
    assert result.stdout.splitlines()[1] == "2.0\t(failed)\t\t\t"
    assert "1 of 2 tags could not be read" in result.stderr
    first, second = json.loads(tags(image, "--long", "-o", "json").stdout)["tags"]
    assert "error" not in first
    assert (second["name"], second["digest"], second["size"]) == ("2.0", None, None)
    assert second["error"]["exit_code"] == 4


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["localhost:5000/a:1.0"], "localhost:5000/a:1.0 is one image, not a repository"),
        (["localhost:5000/a", "--sort", "created"], "--sort created needs --long"),
        (["localhost:5000/A"], "not an image"),
    ],
)
def test_a_wrong_argument_is_a_usage_error(args: list[str], message: str) -> None:
    result = tags(*args)
    assert result.exit_code == 2
    assert message in result.stderr
