"""`regctl image prune` shows what it would delete, asks, and deletes what no rule keeps."""

import json
import re
from pathlib import Path

import pytest
from click.testing import Result

from regctl.cli.app import App
from tests.cli.commands.image import run, tags
from tests.conftest import Servers
from tests.saved_images import Layout
from tests.servers.docker_registry import MANIFEST_TYPE, DockerRegistry, docker_registry
from tests.servers.standin_registry import (
    Answer,
    Manifest,
    Request,
    StandinRegistry,
    standin_registry,
)

KEEP_NEWEST = ("--keep-last", "1")
LIST_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
ATTESTATION = {"os": "linux", "architecture": "amd64", "created": "2019-01-01T00:00:00Z"}


def platform(os: str) -> dict[str, str]:
    return {"os": os, "architecture": "unknown" if os == "unknown" else "amd64"}


@pytest.fixture
def aged(upstream: DockerRegistry, app: str) -> str:
    """Three images built in 2019, 2021 and 2023; the oldest has two tags, 1 and lts."""
    for tag, year in (("1", 2019), ("2", 2021), ("3", 2023)):
        config = {"os": "linux", "architecture": "amd64", "created": f"{year}-01-01T00:00:00Z"}
        upstream.push_image("team/app", tag, layers=[tag.encode()], config=config)
    run("tag", f"{app}:1", "lts")
    return app


def by_tag(result: Result) -> dict[str, str]:
    """What is printed behind the name of each tag."""
    lines = (re.fullmatch(r"image/\S+:(\S+) (.*)", line) for line in result.stdout.splitlines())
    return {match[1]: match[2] for match in lines if match}


def test_a_dry_run_shows_every_tag_with_its_reason(aged: str) -> None:
    result = run("prune", aged, *KEEP_NEWEST, "--dry-run")
    assert result.exit_code == 0
    assert by_tag(result) == {
        "1": "deleted (built 2019-01-01) (dry run)",
        "2": "deleted (built 2021-01-01) (dry run)",
        "3": "unchanged (kept by --keep-last 1) (dry run)",
        "lts": "deleted (built 2019-01-01) (dry run)",
    }
    assert tags(aged) == ["1", "2", "3", "lts"]


def test_without_a_terminal_it_lists_the_deletions_and_needs_yes(aged: str) -> None:
    result = run("prune", aged, *KEEP_NEWEST)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"image/{aged}:1 deleted (built 2019-01-01) (dry run)",
        f"image/{aged}:2 deleted (built 2021-01-01) (dry run)",
        f"image/{aged}:lts deleted (built 2019-01-01) (dry run)",
        "error: not confirmed: Delete 3 tags?",
        "hint: pass --yes to confirm without a terminal",
    ]
    assert tags(aged) == ["1", "2", "3", "lts"]


def test_on_a_terminal_it_lists_the_deletions_and_asks(
    aged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(App, "interactive", True)
    refused = run("prune", aged, *KEEP_NEWEST, stdin="n\n")
    assert refused.exit_code == 1
    assert refused.stderr.index("(dry run)") < refused.stderr.index("Delete 3 tags?")
    assert tags(aged) == ["1", "2", "3", "lts"]
    agreed = run("prune", aged, *KEEP_NEWEST, stdin="y\n")
    assert agreed.exit_code == 0, agreed.stderr
    assert tags(aged) == ["3"]


def test_yes_deletes_what_no_rule_keeps(aged: str) -> None:
    result = run("prune", aged, *KEEP_NEWEST, "--keep", "lts", "--yes")
    assert result.exit_code == 0, result.stderr
    assert by_tag(result) == {
        "1": "unchanged (kept because tag lts needs it)",
        "2": "deleted (built 2021-01-01)",
        "3": "unchanged (kept by --keep-last 1)",
        "lts": "unchanged (kept by --keep lts)",
    }
    assert "garbage collection" in result.stderr
    assert tags(aged) == ["1", "3", "lts"]
    again = run("prune", aged, *KEEP_NEWEST, "--keep", "lts", "--yes")
    assert set(by_tag(again).values()) == {
        "unchanged (kept because tag lts needs it)",
        "unchanged (kept by --keep-last 1)",
        "unchanged (kept by --keep lts)",
    }


def test_the_age_of_images_in_json(aged: str) -> None:
    result = run("prune", aged, "--older-than", "30d", "--yes", "-o", "json")
    outcomes = json.loads(result.stdout)["results"]
    assert {one["result"] for one in outcomes} == {"deleted"}
    first = outcomes[0]
    assert first["name"] == f"{aged}:1"
    assert first["created"] == "2019-01-01T00:00:00+00:00"
    assert first["digest"].startswith("sha256:")
    assert first["size"] > 0


def test_a_check_exits_with_1_if_something_would_be_deleted(aged: str) -> None:
    result = run("prune", aged, *KEEP_NEWEST, "--check")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0].split("\t") == [
        "",
        f"image/{aged}:1",
        "deleted",
        "no rule keeps it",
    ]
    assert "3 of 4 differ" in result.stderr
    assert tags(aged) == ["1", "2", "3", "lts"]
    nothing = run("prune", aged, "--keep-last", "9", "--check")
    assert (nothing.exit_code, nothing.stdout) == (0, "")


def test_several_repositories_at_once(upstream: DockerRegistry, aged: str) -> None:
    upstream.forget("team/other")
    config = {"os": "linux", "architecture": "amd64", "created": "2019-01-01T00:00:00Z"}
    upstream.push_image("team/other", "1", config=config)
    other = f"{upstream.host}/team/other"
    result = run("prune", aged, other, "--older-than", "52w", "--yes", "-o", "name")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split() == [
        *(f"{aged}:{tag}" for tag in ("1", "lts", "2", "3")),
        f"{other}:1",
    ]
    assert tags(aged) == []


def test_an_image_that_cannot_be_read_is_kept_and_reported(serve: Servers) -> None:
    registry = StandinRegistry()

    def script(request: Request) -> Answer | None:
        if request.method != "DELETE":
            return None
        registry.manifests["team/app"].pop("old")
        return Answer(202)

    registry.script = script
    registry.put_image("team/app", "old", b"old")
    registry.put_manifest("team/app", "broken", Manifest(b"{}"))
    name = f"{serve(standin_registry(registry)).host}/team/app"
    checked = run("prune", name, "--keep-last", "1", "--check")
    assert checked.exit_code == 3, "not everything could be seen"
    result = run("prune", name, "--older-than", "1h", "--yes")
    assert result.exit_code == 3
    assert by_tag(result) == {"old": "deleted (built 2026-01-02)"}
    assert f"the manifest of {name}:broken" in result.stderr


@pytest.fixture
def indexed(upstream: DockerRegistry, aged: str) -> str:
    """The same with `all`, an index of 2 and of an attestation, 4; return its digest."""
    attestation = upstream.push_image("team/app", "4", layers=[b"attestation"], config=ATTESTATION)
    inspected = json.loads(run("inspect", f"{aged}:2", "-o", "json").stdout)
    platforms = [("linux", inspected["digest"]), ("unknown", attestation)]
    children = [
        {"mediaType": MANIFEST_TYPE, "digest": digest, "size": 500, "platform": platform(os)}
        for os, digest in platforms
    ]
    index = {"schemaVersion": 2, "mediaType": LIST_TYPE, "manifests": children}
    return upstream.push_manifest("team/app", "all", index, LIST_TYPE)


def test_what_a_kept_index_needs_is_never_deleted(indexed: str, aged: str) -> None:
    assert indexed
    result = run("prune", aged, "--older-than", "1d", "--keep", "all", "--yes")
    assert result.exit_code == 0, result.stderr
    assert by_tag(result) == {
        "1": "deleted (built 2019-01-01)",
        "2": "unchanged (kept because tag all needs it)",
        "3": "deleted (built 2023-01-01)",
        "4": "unchanged (kept because tag all needs it)",
        "all": "unchanged (kept by --keep all)",
        "lts": "deleted (built 2019-01-01)",
    }
    assert tags(aged) == ["2", "4", "all"]


def test_a_nested_index_protects_its_images_also_if_one_is_missing(
    upstream: DockerRegistry, indexed: str, aged: str
) -> None:
    child = {"mediaType": LIST_TYPE, "digest": indexed, "size": 500}
    nested = {"schemaVersion": 2, "mediaType": LIST_TYPE, "manifests": [child]}
    upstream.push_manifest("team/app", "outer", nested, LIST_TYPE)
    missing = json.loads(run("inspect", f"{aged}:2", "-o", "json").stdout)["digest"]
    assert run("delete", f"{aged}@{missing}", "--force", "--yes").exit_code == 0
    refused = run("delete", f"{aged}:all", "--all-tags", "--yes")
    assert refused.stderr.startswith(f"error: cannot delete {aged}@{indexed}: {aged}:outer needs")
    result = run("prune", aged, "--older-than", "1d", "--keep", "outer", "--yes")
    assert result.exit_code == 3, "it cannot tell when outer was built"
    assert tags(aged) == ["4", "all", "outer"]


@pytest.mark.parametrize("tag", ["2", "new"])
def test_an_index_that_is_pushed_after_the_question_keeps_its_images(
    upstream: DockerRegistry, aged: str, monkeypatch: pytest.MonkeyPatch, tag: str
) -> None:
    """Under a new tag, or under one that was to be deleted."""
    oldest = json.loads(run("inspect", f"{aged}:1", "-o", "json").stdout)["digest"]
    child = {"mediaType": MANIFEST_TYPE, "digest": oldest, "size": 500}
    index = {"schemaVersion": 2, "mediaType": LIST_TYPE, "manifests": [child]}

    def answer(*_arguments: object, **_options: object) -> None:
        upstream.push_manifest("team/app", tag, index, LIST_TYPE)

    monkeypatch.setattr(App, "confirm", answer)
    result = run("prune", aged, *KEEP_NEWEST)
    assert result.exit_code == 0, result.stderr
    changed = "skipped (its tags have changed since)"
    assert by_tag(result)["1"] == by_tag(result)["lts"] == changed
    assert tags(aged) == sorted({"1", "3", "lts", tag})


def test_an_index_that_cannot_be_read_stops_deletion(
    upstream: DockerRegistry, indexed: str, aged: str
) -> None:
    digest = indexed.partition(":")[2]
    blobs = upstream.root / "docker" / "registry" / "v2" / "blobs" / "sha256"
    (blobs / digest[:2] / digest / "data").write_bytes(b"damaged")
    result = run("prune", aged, "--older-than", "1d", "--yes")
    assert result.exit_code == 3, result.stdout
    assert f"nothing is deleted from {aged}: cannot read what tag all needs" in result.stderr
    assert tags(aged) == ["1", "2", "3", "4", "all", "lts"]


def test_a_registry_that_fails_for_a_moment_is_asked_again(serve: Servers) -> None:
    registry = StandinRegistry()
    registry.put_image("team/app", "old", b"old")
    failures = iter([Answer(500), Answer(500)])
    registry.script = lambda request: next(failures, None) if "manifests" in request.path else None
    name = f"{serve(standin_registry(registry)).host}/team/app"
    result = run("prune", name, "--older-than", "1h", "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert by_tag(result) == {"old": "deleted (built 2026-01-02) (dry run)"}


def test_olareg_keeps_what_a_kept_index_needs(
    without_catalog: DockerRegistry, tmp_path: Path
) -> None:
    layout = Layout()
    children = [layout.image((name,), architecture=name.decode()) for name in (b"amd64", b"arm64")]
    for descriptor, tag in ((layout.index(*children), "all"), (layout.image((b"x",)), "other")):
        layout.name(descriptor, tag)
    app = f"{without_catalog.host}/prune/app"
    assert run("push", layout.write(tmp_path / "oci"), app, "--all").exit_code == 0
    assert run("tag", f"{app}@{children[0]['digest']}", "amd64").exit_code == 0
    result = run("prune", app, "--older-than", "1h", "--keep", "all", "--yes")
    assert result.exit_code == 0, result.stderr
    assert by_tag(result) == {
        "all": "unchanged (kept by --keep all)",
        "amd64": "unchanged (kept because tag all needs it)",
        "other": "deleted (built 2026-03-04)",
    }
    assert tags(app) == ["all", "amd64"]


def test_a_tag_that_was_moved_meanwhile_is_kept(serve: Servers) -> None:
    registry = StandinRegistry()
    for tag in ("1", "2"):
        registry.put_image("team/app", tag, tag.encode())
    deleted: list[str] = []

    def script(request: Request) -> Answer | None:
        if request.method == "HEAD" and request.path.endswith("/2"):
            registry.put_image("team/app", "2", b"pushed since")
        if request.method == "DELETE":
            deleted.append(request.path.rpartition("/")[2])
            del registry.manifests["team/app"]["1"]
            return Answer(202)
        return None

    registry.script = script
    first = registry.manifests["team/app"]["1"].digest
    name = f"{serve(standin_registry(registry)).host}/team/app"
    result = run("prune", name, "--older-than", "1h", "--yes")
    assert result.exit_code == 0, result.stderr
    assert deleted == [first]
    assert by_tag(result)["2"] == "skipped (its tags have changed since)"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["localhost:5000/a"], "no rule selects images to delete"),
        (["localhost:5000/a", "--keep", "*"], "no rule selects images to delete"),
        (["localhost:5000/a:1", *KEEP_NEWEST], "localhost:5000/a:1 is one image"),
        ([*KEEP_NEWEST], "missing argument 'REPOSITORY...'"),
        (["localhost:5000/a", "--older-than", "soon"], "'soon' is not a duration"),
        (["localhost:5000/a", "--older-than", "30"], "'30' is less than 3600 s"),
        (["localhost:5000/a", "--keep-last", "0"], "invalid value"),
    ],
)
def test_a_wrong_argument_is_a_usage_error(args: list[str], message: str) -> None:
    result = run("prune", *args)
    assert result.exit_code == 2, result.stderr
    assert message in result.stderr


def test_a_registry_that_deletes_nothing_says_what_to_set(serve: Servers, tmp_path: Path) -> None:
    registry = serve(docker_registry(tmp_path / "kept", delete=False))
    registry.push_image("team/app", "1")
    result = run("prune", f"{registry.host}/team/app", "--older-than", "1d", "--yes")
    assert result.exit_code == 1
    assert "REGISTRY_STORAGE_DELETE_ENABLED=true" in result.stderr
