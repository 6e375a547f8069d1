"""`regctl tags`, `image inspect` and `catalog --long`, on the real registry and on a broken one."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from regctl.cli.main import main
from tests.conftest import Servers
from tests.servers.docker_registry import MANIFEST_TYPE, DockerRegistry
from tests.servers.standin_registry import Answer, Request, StandinRegistry, standin_registry

LIST_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"


def run(*args: str) -> Result:
    return CliRunner().invoke(main, [*args, "--plain-http"], prog_name="regctl")


def config(architecture: str, created: str) -> dict[str, Any]:
    return {
        "os": "linux",
        "architecture": architecture,
        "created": created,
        "config": {"Labels": {"team": "blue"}},
        "rootfs": {"type": "layers", "diff_ids": []},
    }


@pytest.fixture(scope="module")
def app(request: pytest.FixtureRequest) -> tuple[DockerRegistry, str]:
    """`team/app` with tags 1.0 and 2.0, which share a layer, and an index of both as `all`."""
    registry: DockerRegistry = request.getfixturevalue("registry")
    name = "images/app"
    shared = b"shared" * 100
    old = config("amd64", "2026-01-01T00:00:00Z")
    new = config("arm64", "2026-02-02T00:00:00Z")
    digests = [
        registry.push_image(name, "1.0", layers=[shared, b"one"], config=old),
        registry.push_image(name, "2.0", layers=[shared, b"three"], config=new),
    ]
    children = [
        {
            "mediaType": MANIFEST_TYPE,
            "digest": digest,
            "size": 500,
            "platform": {"os": "linux", "architecture": architecture},
        }
        for digest, architecture in zip(digests, ("amd64", "arm64"), strict=True)
    ]
    listed = {"schemaVersion": 2, "mediaType": LIST_TYPE, "manifests": children}
    registry.push_manifest(name, "all", listed, LIST_TYPE)
    return registry, f"{registry.host}/{name}"


def test_tags_in_a_pipe(app: tuple[DockerRegistry, str]) -> None:
    assert run("tags", app[1]).stdout == "1.0\n2.0\nall\n"
    assert run("tags", app[1], "--match", "?.0", "-o", "name").stdout == "1.0\n2.0\n"


def test_tags_with_all_about_them(app: tuple[DockerRegistry, str]) -> None:
    rows = [line.split("\t") for line in run("tags", app[1], "--long").stdout.splitlines()]
    assert [(row[0], row[3], row[4]) for row in rows] == [
        ("1.0", "linux/amd64", "2026-01-01T00:00:00+00:00"),
        ("2.0", "linux/arm64", "2026-02-02T00:00:00+00:00"),
        ("all", "linux/amd64,linux/arm64", "2026-02-02T00:00:00+00:00"),
    ]
    one, two, both = (int(row[2]) for row in rows)
    assert both == one + two - 600, "the shared layer counts once"
    newest = run("tags", app[1], "--long", "--sort", "created", "-o", "name").stdout.split()
    assert newest[-1] == "1.0"


def test_an_image_in_json(app: tuple[DockerRegistry, str]) -> None:
    told = json.loads(run("image", "inspect", f"{app[1]}:all", "-o", "json").stdout)
    assert list(told) == [
        "image",
        "reference",
        "digest",
        "media_type",
        "artifact_type",
        "size",
        "platforms",
        "created",
        "variants",
    ]
    assert told["platforms"] == ["linux/amd64", "linux/arm64"]
    (first, _second) = told["variants"]
    assert list(first) == [
        "platform",
        "digest",
        "media_type",
        "size",
        "created",
        "labels",
        "config",
        "layers",
    ]
    assert first["labels"] == {"team": "blue"}
    assert [layer["size"] for layer in first["layers"]] == [600, 3]
    by_digest = run("image", "inspect", f"{app[1]}@{told['digest']}", "-o", "name")
    assert by_digest.stdout == f"{app[1]}@{told['digest']}\n"


def test_one_platform_of_an_image(app: tuple[DockerRegistry, str]) -> None:
    arm = run("image", "inspect", f"{app[1]}:all", "--platform", "linux/arm64", "-o", "json")
    assert [v["platform"] for v in json.loads(arm.stdout)["variants"]] == ["linux/arm64"]
    none = run("image", "inspect", f"{app[1]}:all", "--platform", "windows/amd64")
    assert none.exit_code == 1
    assert "all has no image for windows/amd64" in none.stderr
    assert "linux/amd64, linux/arm64" in none.stderr


def test_a_repository_in_the_catalog_counts_shared_layers_once(
    app: tuple[DockerRegistry, str],
) -> None:
    host = app[0].host
    command = ["catalog", host, "--long", "--match", "images/app", "-o", "json"]
    (told,) = json.loads(run(*command).stdout)["repositories"]
    assert told["tags"] == ["1.0", "2.0", "all"]
    assert told["size"] == told["images"][2]["size"]
    row = run("catalog", host, "--long", "--match", "images/app").stdout.split("\t")
    assert row[:2] == ["images/app", "3"]


def test_one_request_for_each_page_and_each_repository(serve: Servers) -> None:
    tags = {f"r{number:03}": ["1"] for number in range(50)}
    standin = serve(standin_registry(StandinRegistry(tags=tags, page=10)))
    assert len(run("catalog", standin.host, "--tags").stdout.splitlines()) == 50
    assert len(standin.requests) == 5 + 50


def test_ghosts_are_marked_and_one_failure_hides_nothing(serve: Servers) -> None:
    def script(request: Request) -> Answer | None:
        return Answer(500) if request.path == "/v2/broken/tags/list" else None

    state = StandinRegistry(tags={"alive": ["1"], "broken": ["1"], "ghost": []}, script=script)
    host = serve(standin_registry(state)).host
    told = run("catalog", host, "--tags")
    assert told.exit_code == 3
    assert told.stdout == "alive\t1\nbroken\t(failed)\nghost\t(no tags)\n"
    assert f"{host}/broken: the registry answers 500" in told.stderr
    assert "1 of 3 repositories could not be read" in told.stderr
    document = json.loads(run("catalog", host, "--tags", "-o", "json").stdout)
    assert [one["name"] for one in document["repositories"]] == ["alive", "broken", "ghost"]
    assert document["repositories"][1]["error"]["exit_code"] == 1


@pytest.mark.parametrize("form", [[], ["-o", "json"], ["-o", "yaml"], ["--tags"]])
def test_a_catalog_that_breaks_off_shows_what_came_and_how_to_go_on(
    serve: Servers, form: list[str]
) -> None:
    state = StandinRegistry(tags={f"r{number}": ["1"] for number in range(6)}, page=2)
    state.script = lambda r: Answer(500) if r.query.get("last") == "r3" else None
    host = serve(standin_registry(state)).host
    told = run("catalog", host, *form)
    assert told.exit_code == 3
    assert "r3" in told.stdout
    assert "--last r3" in told.stderr
    state.script = None
    assert run("catalog", host, "--last", "r3").stdout == "r4\nr5\n"


def test_limits_and_order_of_a_catalog(serve: Servers) -> None:
    names = {"b": ["1"], "a": ["1"], "c": ["1"]}
    state = StandinRegistry(tags=names)
    state.script = lambda r: (
        Answer.of({"repositories": list(names)}) if r.path == "/v2/_catalog" else None
    )
    host = serve(standin_registry(state)).host
    assert run("catalog", host).stdout == "b\na\nc\n"
    assert run("catalog", host, "--sort", "name", "--limit", "2").stdout == "a\nb\n"


def test_an_empty_catalog_is_told_apart_from_one_that_is_not_shown(serve: Servers) -> None:
    host = serve(standin_registry(StandinRegistry())).host
    told = run("catalog", host)
    assert (told.exit_code, told.stdout) == (0, "")
    assert "a user may see more" in told.stderr


def test_names_that_would_steer_a_terminal_are_shown(serve: Servers) -> None:
    host = serve(standin_registry(StandinRegistry(tags={"a\x1b[2Jb": ["1"]}))).host
    assert run("catalog", host).stdout == "a\\x1b[2Jb\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["tags", "localhost:5000/a:1.0"], "it has a tag or digest"),
        (["tags", "localhost:5000/a", "--sort", "created"], "--sort created needs --long"),
        (["tags", "localhost:5000/A"], "not an image"),
        (["image", "inspect", "localhost:5000/a", "--platform", "x"], "not a platform"),
        (["catalog", "localhost:5000", "--tags", "--long"], "cannot combine --tags and --long"),
    ],
)
def test_what_was_typed_wrong_is_said_before_anything_is_asked(args: list[str], said: str) -> None:
    told = run(*args)
    assert told.exit_code in {1, 2}
    assert said in told.stderr
