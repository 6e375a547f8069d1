"""`regctl image push`, `tag`, `delete` and `prune`, on the real registry, read back with skopeo."""

import gzip
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from regctl.authfile import hashes
from regctl.cli.main import main
from tests.conftest import Servers
from tests.saved_images import Layout, docker_archive, tar_of
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.process import find
from tests.servers.standin_registry import Answer, Request, StandinRegistry, standin_registry

LAYERS = (b"first" * 1000, b"second" * 1000)


def run(*args: str, stdin: bytes | None = None) -> Result:
    line = ["image", *args, "--plain-http"]
    return CliRunner().invoke(main, line, input=stdin, prog_name="regctl")


def skopeo(*args: str) -> str:
    command = [find("skopeo"), *args]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with docker_registry(tmp_path_factory.mktemp("images")) as registry:
        yield registry


@pytest.fixture
def app(upstream: DockerRegistry) -> str:
    """An image's name in an empty repository."""
    upstream.forget("team/app")
    return f"{upstream.host}/team/app"


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """An image for two platforms, as an OCI layout."""
    layout = Layout()
    children = [layout.image(LAYERS, architecture=name) for name in ("amd64", "arm64")]
    layout.name(layout.index(*children), "1.0")
    return layout.write(tmp_path / "oci")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "app.tar"
    path.write_bytes(tar_of(docker_archive((["team/app:1.0"], LAYERS))))
    return path


def test_skopeo_reads_back_what_was_pushed_from_a_layout(
    app: str, layout: Path, tmp_path: Path
) -> None:
    told = run("push", str(layout), app)
    assert told.exit_code == 0, told.stderr
    name, _, digest = told.stdout.strip().partition("@")
    assert name == f"{app}:1.0"
    assert "6 of 6 blobs" not in told.stderr, "a layer of both platforms goes up once"
    back = tmp_path / "back"
    flags = ["--all", "--src-tls-verify=false", f"docker://{app}:1.0", f"oci:{back}:x"]
    skopeo("copy", *flags)
    (listed,) = json.loads((back / "index.json").read_bytes())["manifests"]
    assert listed["digest"] == digest
    again = run("push", str(layout), app, "-o", "json")
    record = json.loads(again.stdout)
    assert (record["digest"], record["sent_bytes"]) == (digest, 0)
    assert {blob["result"] for blob in record["blobs"]} == {"unchanged"}


@pytest.mark.parametrize("form", ["docker-archive", "oci", "oci-archive"])
def test_what_skopeo_saved_is_pushed(
    upstream: DockerRegistry, app: str, tmp_path: Path, form: str
) -> None:
    upstream.push_image("images/source", "2.0", layers=[b"layer" * 500])
    target = tmp_path / "saved"
    source = f"docker://{upstream.host}/images/source:2.0"
    skopeo("copy", "--src-tls-verify=false", source, f"{form}:{target}:app:2.0")
    told = run("push", str(target), f"{app}:2.0")
    assert told.exit_code == 0, told.stderr
    digest = told.stdout.strip().partition("@")[2]
    flags = ["--tls-verify=false", "--format", "{{.Digest}}", f"docker://{app}:2.0"]
    assert skopeo("inspect", *flags).strip() == digest


def test_a_pipe_gzip_a_tag_of_ones_own_and_a_digest(app: str, archive: Path) -> None:
    squeezed = gzip.compress(archive.read_bytes())
    told = run("push", "-", f"{app}:mine", stdin=squeezed)
    assert told.exit_code == 0, told.stderr
    digest = told.stdout.strip().partition("@")[2]
    assert run("push", str(archive), app).stdout == f"{app}:1.0@{digest}\n"
    assert run("push", str(archive), f"{app}@{digest}").stdout == f"{app}@{digest}\n"
    wrong = run("push", str(archive), f"{app}@sha256:{'0' * 64}")
    assert wrong.exit_code == 1
    assert "did not match" in wrong.stderr


def test_one_platform_and_one_of_several_images(app: str, layout: Path, tmp_path: Path) -> None:
    told = run("push", str(layout), f"{app}:arm", "--platform", "linux/arm64")
    assert told.exit_code == 0, told.stderr
    shown = json.loads(run("inspect", f"{app}:arm", "-o", "json").stdout)
    assert shown["platforms"] == ["linux/arm64"]
    path = tmp_path / "several.tar"
    path.write_bytes(tar_of(docker_archive((["a:1", "a:stable"], LAYERS), (["b:2"], LAYERS[:1]))))
    which = run("push", str(path), app)
    assert which.exit_code == 2
    assert which.stderr.splitlines() == [
        f"error: {path} holds 2 images: which one?",
        "hint: pass --select with one of: a:1, a:stable, b:2; or --all",
    ]
    assert run("push", str(path), app, "--select", "b:2").stdout.startswith(f"{app}:2@sha256:")
    every = run("push", str(path), app, "--all", "-o", "name")
    assert len(set(every.stdout.splitlines())) == 2
    tags = CliRunner().invoke(main, ["tags", app, "--plain-http"]).stdout.split()
    assert tags == ["1", "2", "arm", "stable"]


def test_layers_are_mounted_from_another_repository(
    upstream: DockerRegistry, app: str, archive: Path
) -> None:
    upstream.forget("team/base")
    assert run("push", str(archive), f"{upstream.host}/team/base:1").exit_code == 0
    told = run("push", str(archive), app, "--mount-from", "team/base", "-o", "json")
    assert {blob["result"] for blob in json.loads(told.stdout)["blobs"]} == {"mounted"}


def test_what_cannot_be_pushed_says_why(app: str, archive: Path) -> None:
    for args, code, said in (
        (["nothing.tar", app], 1, "cannot read nothing.tar: No such file or directory"),
        ([str(archive), "Not an image"], 2, "not an image"),
        ([str(archive), app, "--select", "other"], 1, "no other in"),
        ([str(archive), app, "--platform", "linux/s390x"], 1, "has no manifest for linux/s390x"),
        ([str(archive), app, "--platform", "linux"], 1, "not a platform"),
        ([str(archive), f"{app}:1", "--all"], 2, "--all takes the tags from SOURCE"),
        (["-", app, "--username", "x", "--password-stdin"], 2, "can't both come from"),
    ):
        told = run("push", *args)
        assert told.exit_code == code, told.stderr
        assert said in told.stderr
        assert told.stdout == ""


def test_a_wrong_password_sends_nothing(archive: Path, serve: Servers, tmp_path: Path) -> None:
    auth = tmp_path / "auth"
    auth.write_text(f"ci:{hashes.make('right', cost=4)}\n")
    registry = serve(docker_registry(tmp_path / "closed", auth_file=auth))
    secret = tmp_path / "password"
    secret.write_text("wrong-one\n")
    who = ["--username", "ci", "--password-file", str(secret)]
    told = run("push", str(archive), f"{registry.host}/team/app:1", *who)
    assert told.exit_code == 4
    assert "the registry rejects the password of ci" in told.stderr
    secret.write_text("right\n")
    assert run("push", str(archive), f"{registry.host}/team/app:1", *who).exit_code == 0


def test_a_tag_more(app: str, archive: Path) -> None:
    digest = run("push", str(archive), app).stdout.strip().partition("@")[2]
    assert run("tag", f"{app}:1.0", "stable").stdout == f"image/{app}:stable created ({digest})\n"
    assert run("tag", f"{app}@{digest}", "stable").stdout.split()[1] == "unchanged"
    assert run("tag", f"{app}:1.0", "a:b").exit_code == 2
    gone = run("tag", f"{app}:none", "stable")
    assert gone.exit_code == 1
    assert "not found" in gone.stderr


def test_delete_names_the_tags_that_share_the_digest(app: str, archive: Path) -> None:
    run("push", str(archive), app)
    run("tag", f"{app}:1.0", "stable")
    unsaid = run("delete", f"{app}:1.0")
    assert unsaid.exit_code == 1
    assert "has the tags 1.0, stable" in unsaid.stderr
    assert "pass --yes" in unsaid.stderr
    one = run("delete", f"{app}:1.0", "--yes")
    assert one.exit_code == 1
    assert "which also deletes stable" in one.stderr
    both = run("delete", f"{app}:1.0", "--yes", "--all-tags")
    assert both.stdout == f"image/{app}:1.0 deleted\nimage/{app}:stable deleted\n"
    assert run("delete", f"{app}:1.0", "--yes").exit_code == 1


def test_a_single_tag_goes_with_its_digest(app: str, archive: Path) -> None:
    digest = run("push", str(archive), app).stdout.strip().partition("@")[2]
    assert run("delete", f"{app}:1.0", "--yes").exit_code == 0
    assert run("inspect", f"{app}@{digest}").exit_code == 1
    assert run("delete", app, "--yes").exit_code == 2


def test_where_the_registry_deletes_tags_only_the_tag_goes(serve: Servers) -> None:
    registry = StandinRegistry()
    asked: list[str] = []

    def script(request: Request) -> Answer | None:
        if request.method != "DELETE":
            return None
        asked.append(request.path)
        return Answer(202)

    registry.script = script
    registry.put_image("team/app", "1.0")
    registry.put_image("team/app", "stable")
    host = serve(standin_registry(registry)).host
    told = run("delete", f"{host}/team/app:1.0", "--yes")
    assert told.stdout == f"image/{host}/team/app:1.0 deleted\n", told.stderr
    assert asked == ["/v2/team/app/manifests/1.0"]


def test_a_registry_without_deletion_says_what_to_set(
    archive: Path, serve: Servers, tmp_path: Path
) -> None:
    registry = serve(docker_registry(tmp_path / "kept", delete=False))
    run("push", str(archive), f"{registry.host}/team/app")
    told = run("delete", f"{registry.host}/team/app:1.0", "--yes")
    assert told.exit_code == 1
    assert "deletion is disabled in this registry" in told.stderr
    assert "REGISTRY_STORAGE_DELETE_ENABLED=true" in told.stderr


@pytest.fixture
def aged(upstream: DockerRegistry, app: str) -> str:
    """Three images, made years apart, of which the oldest has two tags."""
    for tag, year in (("1", 2019), ("2", 2021), ("3", 2023)):
        config = {"os": "linux", "architecture": "amd64", "created": f"{year}-01-01T00:00:00Z"}
        upstream.push_image("team/app", tag, layers=[tag.encode()], config=config)
    run("tag", f"{app}:1", "lts")
    return app


def rows(told: Result) -> dict[str, tuple[str, str]]:
    lines = (line.split("\t") for line in told.stdout.splitlines())
    return {line[1]: (line[2], line[3]) for line in lines}


def test_prune_shows_first_and_does_it_with_yes(aged: str) -> None:
    shown = run("prune", aged, "--keep-last", "1")
    assert rows(shown) == {
        "1": ("would go", "no rule keeps it"),
        "2": ("would go", "no rule keeps it"),
        "3": ("kept", "one of the last 1"),
        "lts": ("would go", "no rule keeps it"),
    }
    assert "3 of 4 tags would go; --yes deletes them" in shown.stderr
    done = run("prune", aged, "--keep-last", "1", "--keep", "lts", "--yes")
    assert done.exit_code == 0, done.stderr
    assert rows(done) == {
        "1": ("kept", "needed by lts"),
        "2": ("deleted", "no rule keeps it"),
        "3": ("kept", "one of the last 1"),
        "lts": ("kept", "matches lts"),
    }
    assert "garbage collection" in done.stderr
    left = CliRunner().invoke(main, ["tags", aged, "--plain-http"]).stdout.split()
    assert left == ["1", "3", "lts"]
    again = json.loads(run("prune", aged, "--older-than", "30d", "--yes", "-o", "json").stdout)
    assert {row["tag"]: row["result"] for row in again["images"]} == {
        "1": "deleted",
        "3": "deleted",
        "lts": "deleted",
    }


def test_prune_wants_a_rule_and_a_repository(aged: str) -> None:
    for args, said in (
        ([aged], "no rule says what may go"),
        ([aged, "--keep", "*"], "no rule says what may go"),
        ([f"{aged}:1", "--keep-last", "1"], "it names one image"),
        (["--keep-last", "1"], "which repository?"),
        ([aged, "--older-than", "soon"], "not an age"),
        ([aged, "--keep-last", "0"], "invalid value"),
    ):
        told = run("prune", *args)
        assert told.exit_code == 2, told.stderr
        assert said in told.stderr


def test_prune_where_nothing_is_deleted_says_what_to_set(serve: Servers, tmp_path: Path) -> None:
    registry = serve(docker_registry(tmp_path / "kept", delete=False))
    registry.push_image("team/app", "1")
    told = run("prune", f"{registry.host}/team/app", "--older-than", "1d", "--yes")
    assert told.exit_code == 1
    assert "REGISTRY_STORAGE_DELETE_ENABLED=true" in told.stderr
