"""`regctl image delete` names the tags that it deletes, and asks."""

import json
from pathlib import Path

import pytest

from regctl.cli.app import App
from regctl.retry import Backoff
from tests.cli.commands.image import pushed_digest, run, tags
from tests.conftest import Servers
from tests.servers.docker_registry import MANIFEST_TYPE, DockerRegistry, docker_registry
from tests.servers.programs import version_of
from tests.servers.standin_registry import Answer, Request, StandinRegistry, standin_registry

LIST_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"


@pytest.fixture
def two_tags(app: str, archive: Path) -> str:
    """An image with the tags 1.0 and stable."""
    run("push", archive, app)
    run("tag", f"{app}:1.0", "stable")
    return app


def test_without_a_terminal_it_needs_yes(two_tags: str) -> None:
    one = run("delete", f"{two_tags}:1.0")
    assert one.exit_code == 1
    assert one.stderr.splitlines() == [
        f"error: not confirmed: Delete {two_tags}:1.0?",
        "hint: pass --yes to confirm without a terminal",
    ]
    result = run("delete", f"{two_tags}:1.0", "--all-tags")
    assert result.exit_code == 1
    assert "note: tags of team/app@sha256:" in result.stderr
    assert ": 1.0, stable\n" in result.stderr
    assert "pass --yes" in result.stderr
    assert tags(two_tags) == ["1.0", "stable"]


def test_it_asks_on_a_terminal(two_tags: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(App, "interactive", True)
    refused = run("delete", f"{two_tags}:1.0", "--all-tags", stdin="n\n")
    assert refused.exit_code == 1
    assert f"Delete {two_tags}:1.0, {two_tags}:stable?" in refused.stderr
    assert tags(two_tags) == ["1.0", "stable"]
    assert run("delete", f"{two_tags}:1.0", "--all-tags", stdin="y\n").exit_code == 0
    assert tags(two_tags) == []


def test_other_tags_of_the_image_are_never_deleted_unasked(two_tags: str) -> None:
    """distribution deletes a tag alone from version 3 on."""
    one = run("delete", f"{two_tags}:1.0", "--yes")
    if version_of("registry") >= (3, 0):
        assert one.exit_code == 0
        assert one.stdout == f"image/{two_tags}:1.0 deleted\n"
        assert tags(two_tags) == ["stable"]
    else:
        assert one.exit_code == 1
        assert one.stderr.endswith(
            f"error: cannot delete {two_tags}:1.0: the registry deletes by digest only, which "
            "also deletes stable\nhint: pass --all-tags to delete all of them\n"
        )
        assert tags(two_tags) == ["1.0", "stable"]


def test_a_registry_that_deletes_no_single_tag_asks_for_the_others(
    serve: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """distribution 2.8 deletes by digest only."""
    monkeypatch.setattr(App, "interactive", True)
    registry = StandinRegistry()
    digest = registry.put_image("team/app", "1.0")
    registry.put_image("team/app", "stable")
    deleted: list[str] = []

    def script(request: Request) -> Answer | None:
        if request.method != "DELETE":
            return None
        if not request.path.endswith(digest):
            return Answer.of({"errors": [{"code": "DIGEST_INVALID"}]}, 400)
        deleted.append(digest)
        registry.manifests["team/app"].clear()
        return Answer(202)

    registry.script = script
    name = f"{serve(standin_registry(registry)).host}/team/app:1.0"
    refused = run("delete", name, stdin="y\nn\n")
    assert refused.exit_code == 1
    assert "The registry deletes by digest only. Also delete stable?" in refused.stderr
    assert deleted == []
    agreed = run("delete", name, stdin="y\ny\n")
    assert agreed.exit_code == 0, agreed.stderr
    assert deleted == [digest]


def test_a_tag_that_is_moved_meanwhile_is_kept(serve: Servers) -> None:
    registry = StandinRegistry()
    registry.put_image("team/app", "1.0", b"old")
    deleted: list[str] = []

    def script(request: Request) -> Answer | None:
        if request.method != "DELETE":
            return None
        deleted.append(request.path.rpartition("/")[2])
        registry.put_image("team/app", "1.0", b"new")
        return Answer.of({"errors": [{"code": "DIGEST_INVALID"}]}, 400)

    registry.script = script
    result = run("delete", f"{serve(standin_registry(registry)).host}/team/app:1.0", "--yes")
    assert result.exit_code == 1
    assert "it was moved meanwhile" in result.stderr
    assert deleted == ["1.0"]


@pytest.mark.parametrize("flags", [(), ("--all-tags",)])
@pytest.mark.parametrize("change", ["moved", "another tag", "an index"])
def test_what_changes_after_the_question_is_kept(
    upstream: DockerRegistry,
    two_tags: str,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    flags: tuple[str, ...],
) -> None:
    digest = json.loads(run("inspect", f"{two_tags}:1.0", "-o", "json").stdout)["digest"]
    entry = {"mediaType": MANIFEST_TYPE, "digest": digest, "size": 500}
    index = {"schemaVersion": 2, "mediaType": LIST_TYPE, "manifests": [entry]}

    def answer(*_arguments: object, **_options: object) -> None:
        if change == "another tag":
            run("tag", f"{two_tags}:1.0", "new")
        else:
            tag = "1.0" if change == "moved" else "new"
            upstream.push_manifest("team/app", tag, index, LIST_TYPE)

    monkeypatch.setattr(App, "confirm", answer)
    result = run("delete", f"{two_tags}:1.0", *flags)
    if change == "moved" or flags:
        assert result.exit_code == 1
        assert "its tags have changed since" in result.stderr or ":new needs it" in result.stderr
        assert set(tags(two_tags)) >= {"1.0", "stable"}
    else:
        assert "stable" in tags(two_tags), "a tag is deleted alone, or not at all"
    assert run("inspect", f"{two_tags}@{digest}").exit_code == 0


def test_an_image_that_an_index_needs_is_deleted_only_with_force(two_platforms: str) -> None:
    digest = json.loads(run("inspect", f"{two_platforms}:1.0", "-o", "json").stdout)["digest"]
    refused = run("delete", f"{two_platforms}@{digest}", "--yes", "--dry-run")
    assert refused.exit_code == 1
    assert refused.stderr.splitlines() == [
        f"error: cannot delete {two_platforms}@{digest}: {two_platforms}:all needs it",
        "hint: delete the index first, or pass --force",
    ]
    forced = run("delete", f"{two_platforms}@{digest}", "--yes", "--dry-run", "--force")
    assert forced.stdout == f"image/{two_platforms}:1.0 deleted (dry run)\n", forced.stderr


def test_a_tag_that_stays_is_a_failure(serve: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """go-containerregistry's registry answers 202 and keeps the tags of a digest."""
    monkeypatch.setattr("regctl.images.tags.LOOKS", Backoff(tries=3, base=0.0))
    registry = StandinRegistry(script=lambda r: Answer(202) if r.method == "DELETE" else None)
    registry.put_image("team/app", "1.0")
    name = f"{serve(standin_registry(registry)).host}/team/app:1.0"
    result = run("delete", name, "--yes")
    assert result.exit_code == 1
    assert f"cannot delete {name}: the registry accepted that, but it is still there" in (
        result.stderr
    )


def test_all_tags_of_the_image_are_deleted_if_asked_for(two_tags: str) -> None:
    both = run("delete", f"{two_tags}:1.0", "--yes", "--all-tags")
    assert both.stdout == f"image/{two_tags}:1.0 deleted\nimage/{two_tags}:stable deleted\n"
    assert "garbage collection" in both.stderr
    assert run("delete", f"{two_tags}:1.0", "--yes").exit_code == 1


def test_a_dry_run_deletes_nothing(two_tags: str) -> None:
    planned = run("delete", f"{two_tags}:1.0", "--all-tags", "--dry-run")
    assert planned.exit_code == 0
    assert planned.stdout == (
        f"image/{two_tags}:1.0 deleted (dry run)\nimage/{two_tags}:stable deleted (dry run)\n"
    )
    assert "garbage collection" not in planned.stderr
    assert tags(two_tags) == ["1.0", "stable"]


def test_a_single_tag_is_deleted_and_a_digest_with_its_tags(app: str, archive: Path) -> None:
    """distribution 2.8 deletes the digest with a tag."""
    digest = pushed_digest(run("push", archive, app))
    assert run("delete", f"{app}:1.0", "--yes").exit_code == 0
    assert tags(app) == []
    kept = version_of("registry") >= (3, 0)
    assert run("inspect", f"{app}@{digest}").exit_code == (0 if kept else 1)
    run("push", archive, app)
    assert run("delete", f"{app}@{digest}", "--yes").stdout == f"image/{app}:1.0 deleted\n"
    assert run("inspect", f"{app}@{digest}").exit_code == 1


def test_an_image_without_a_tag_is_named_by_its_digest(serve: Servers) -> None:
    registry = StandinRegistry()
    digest = registry.put_image("team/app", "1.0")
    registry.tags["team/app"].clear()
    name = f"{serve(standin_registry(registry)).host}/team/app@{digest}"
    result = run("delete", name)
    assert result.stderr.splitlines()[:2] == [
        f"note: tags of team/app@{digest}: none",
        f"error: not confirmed: Delete {name}?",
    ]


def test_an_image_without_a_tag_or_digest_is_a_usage_error(app: str) -> None:
    result = run("delete", app, "--yes")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"error: cannot delete {app}: it has no tag",
        f"hint: name a tag, as in {app}:latest",
    ]


def test_only_the_tag_is_deleted_if_the_registry_can_do_that(serve: Servers) -> None:
    registry = StandinRegistry()
    deleted: list[str] = []

    def script(request: Request) -> Answer | None:
        if request.method != "DELETE":
            return None
        deleted.append(request.path)
        del registry.manifests["team/app"]["1.0"]
        return Answer(202)

    registry.script = script
    registry.put_image("team/app", "1.0")
    registry.put_image("team/app", "stable")
    host = serve(standin_registry(registry)).host
    result = run("delete", f"{host}/team/app:1.0", "--yes")
    assert result.stdout == f"image/{host}/team/app:1.0 deleted\n", result.stderr
    assert deleted == ["/v2/team/app/manifests/1.0"]


def test_olareg_deletes_a_tag_alone_and_a_digest_with_its_tags(
    without_catalog: DockerRegistry, archive: Path
) -> None:
    app = f"{without_catalog.host}/delete/app"
    digest = pushed_digest(run("push", archive, app))
    for tag in ("stable", "edge"):
        assert run("tag", f"{app}:1.0", tag).exit_code == 0
    one = run("delete", f"{app}:1.0", "--yes")
    assert one.stdout == f"image/{app}:1.0 deleted\n", one.stderr
    assert tags(app) == ["edge", "stable"]
    assert run("inspect", f"{app}@{digest}").exit_code == 0
    rest = run("delete", f"{app}@{digest}", "--yes")
    assert rest.stdout == f"image/{app}:edge deleted\nimage/{app}:stable deleted\n", rest.stderr
    assert tags(app) == []
    assert run("inspect", f"{app}@{digest}").exit_code == 1


def test_a_registry_that_deletes_nothing_says_what_to_set(
    archive: Path, serve: Servers, tmp_path: Path
) -> None:
    registry = serve(docker_registry(tmp_path / "kept", delete=False))
    run("push", archive, f"{registry.host}/team/app")
    result = run("delete", f"{registry.host}/team/app:1.0", "--yes")
    assert result.exit_code == 1
    assert "deletion is disabled in this registry" in result.stderr
    assert "REGISTRY_STORAGE_DELETE_ENABLED=true" in result.stderr
