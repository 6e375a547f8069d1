"""`regctl image push` to a real registry, read back with skopeo."""

import gzip
import json
import subprocess
from pathlib import Path

import pytest

from regctl.authfile import hashes
from regctl.cli.app import App
from tests import cli
from tests.cli.commands.image import LAYERS, pushed_digest, run, tags
from tests.conftest import Servers
from tests.saved_images import OCI_INDEX, Layout, docker_archive, tar_of
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.programs import find


def skopeo(*args: str) -> str:
    command = [find("skopeo"), *args]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_skopeo_reads_back_what_was_pushed_from_a_layout(
    app: str, layout: Path, tmp_path: Path
) -> None:
    result = run("push", layout, app)
    assert result.exit_code == 0, result.stderr
    name, _, digest = result.stdout.strip().partition("@")
    assert name == f"{app}:1.0"
    assert "4 of 4 blobs" in result.stderr, "a layer of both platforms is uploaded once"
    back = tmp_path / "back"
    flags = ["--all", "--src-tls-verify=false", f"docker://{app}:1.0", f"oci:{back}:x"]
    skopeo("copy", *flags)
    (listed,) = json.loads((back / "index.json").read_bytes())["manifests"]
    assert listed["digest"] == digest
    record = json.loads(run("push", layout, app, "-o", "json").stdout)
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
    digest = pushed_digest(run("push", target, f"{app}:2.0"))
    flags = ["--tls-verify=false", "--format", "{{.Digest}}", f"docker://{app}:2.0"]
    assert skopeo("inspect", *flags).strip() == digest


def test_a_pipe_with_gzip_a_tag_and_a_digest(app: str, archive: Path) -> None:
    compressed = gzip.compress(archive.read_bytes())
    digest = pushed_digest(run("push", "-", f"{app}:mine", stdin=compressed))
    assert run("push", archive, app).stdout == f"{app}:1.0@{digest}\n"
    assert run("push", archive, f"{app}@{digest}").stdout == f"{app}@{digest}\n"
    wrong = run("push", archive, f"{app}@sha256:{'0' * 64}")
    assert wrong.exit_code == 1
    assert "its content has the digest sha256:" in wrong.stderr


def test_one_platform(app: str, layout: Path) -> None:
    result = run("push", layout, f"{app}:arm", "--platform", "linux/arm64")
    assert result.exit_code == 0, result.stderr
    shown = json.loads(run("inspect", f"{app}:arm", "-o", "json").stdout)
    assert shown["platforms"] == ["linux/arm64"]


def test_one_of_several_images_and_all(app: str, tmp_path: Path) -> None:
    path = tmp_path / "several.tar"
    path.write_bytes(tar_of(docker_archive((["a:1", "a:stable"], LAYERS), (["b:2"], LAYERS[:1]))))
    unclear = run("push", path, app)
    assert unclear.exit_code == 2
    assert unclear.stderr.splitlines() == [
        f"error: {path} has 2 images",
        "hint: pass --select with one of: a:1, a:stable, b:2; or --all",
    ]
    assert run("push", path, app, "--select", "b:2").stdout.startswith(f"{app}:2@sha256:")
    every = run("push", path, app, "--all", "-o", "name")
    assert len(set(every.stdout.splitlines())) == 2
    assert tags(app) == ["1", "2", "stable"]


def test_select_keeps_the_tag_of_the_name(app: str, tmp_path: Path) -> None:
    path = tmp_path / "several.tar"
    path.write_bytes(tar_of(docker_archive((["a:1", "x/a:stable"], LAYERS), (["b:2"], LAYERS))))
    for name, tag in (("x/a:stable", "stable"), ("a:stable", "stable"), ("1", "1"), ("b:2", "2")):
        assert run("push", path, app, "--select", name).stdout.startswith(f"{app}:{tag}@sha256:")


ATTESTATION = {"os": "unknown", "architecture": "unknown"}


def docker_save(folder: Path, *saved: str) -> Path:
    """What `docker save` writes with containerd's image store: all of the index, *saved* of it."""
    layout = Layout()
    children = {
        name: layout.image(LAYERS, architecture=name) for name in ("amd64", "arm64", "s390x")
    }
    attestation = layout.image((b"attestation",)) | {"platform": ATTESTATION}
    layout.name(layout.index(*children.values(), attestation), "1.0")
    layout.drop(*(one for name, one in children.items() if name not in saved))
    if "attestation" not in saved:
        layout.drop(attestation)
    path = folder / "saved.tar"
    path.write_bytes(tar_of(layout.all_files()))
    return path


@pytest.mark.parametrize("attestation", [(), ("attestation",)])
def test_the_only_platform_that_docker_saved_is_pushed(
    app: str, tmp_path: Path, attestation: tuple[str, ...]
) -> None:
    result = run("push", docker_save(tmp_path, "arm64", *attestation), app)
    assert result.exit_code == 0, result.stderr
    missing = "linux/amd64, linux/s390x" + ("" if attestation else ", unknown/unknown")
    assert f"note: only linux/arm64 is pushed: the saved image lacks {missing}" in result.stderr
    assert result.stdout.startswith(f"{app}:1.0@sha256:")
    shown = json.loads(run("inspect", f"{app}:1.0", "-o", "json").stdout)
    assert shown["platforms"] == ["linux/arm64"]


def test_several_platforms_of_more_need_a_choice(app: str, tmp_path: Path) -> None:
    saved = docker_save(tmp_path, "amd64", "arm64")
    unclear = run("push", saved, app)
    assert unclear.exit_code == 2
    assert unclear.stderr.splitlines() == [
        f"error: {saved} lacks a part of the image: linux/s390x, unknown/unknown",
        "hint: pass --platform with one of: linux/amd64, linux/arm64",
    ]
    assert run("push", saved, app, "--platform", "linux/amd64").exit_code == 0
    assert run("push", saved, app, "--platform", "linux/s390x").exit_code == 1
    nothing = run("push", docker_save(tmp_path), app)
    assert nothing.exit_code == 1
    assert "`skopeo copy --all`" in nothing.stderr


def signed_layout(folder: Path, *, tagged: bool) -> tuple[Path, str, str]:
    """An image and its signature, listed beside it or by a tag; the folder and both digests."""
    layout = Layout()
    image = layout.image(LAYERS)
    subject = {key: image[key] for key in ("mediaType", "digest", "size")}
    kind = "application/vnd.example.signature"
    signature = layout.image((b"signature",), subject=subject, artifactType=kind)
    layout.name(image, "1.0")
    if tagged:
        layout.name(layout.index(signature), image["digest"].replace(":", "-"))
    else:
        layout.listed.append(signature)
    return layout.write(folder / "signed"), image["digest"], signature["digest"]


@pytest.mark.parametrize("tagged", [False, True])
def test_an_image_and_its_referrers_are_pushed_to_a_registry_without_their_api(
    upstream: DockerRegistry, app: str, tmp_path: Path, *, tagged: bool
) -> None:
    folder, image, signature = signed_layout(tmp_path, tagged=tagged)
    for _ in range(2):
        result = run("push", folder, app)
        assert result.exit_code == 0, result.stderr
        assert "1 referrer pushed with the image" in result.stderr
        assert result.stdout == f"{app}:1.0@{image}\n"
    tag = image.replace(":", "-")
    status, _, body = upstream.request(
        "GET", f"/v2/team/app/manifests/{tag}", headers={"Accept": OCI_INDEX}
    )
    assert status == 200
    (listed,) = json.loads(body)["manifests"]
    assert listed["digest"] == signature
    assert listed["artifactType"] == "application/vnd.example.signature"
    assert tags(app) == ["1.0", tag]


def test_a_registry_with_the_referrers_api_gets_no_referrers_tag(
    without_catalog: DockerRegistry, tmp_path: Path
) -> None:
    app = f"{without_catalog.host}/referrers/app"
    folder, image, signature = signed_layout(tmp_path, tagged=False)
    record = json.loads(run("push", folder, app, "-o", "json").stdout)
    assert record["referrers"] == [signature]
    _, _, body = without_catalog.request("GET", f"/v2/referrers/app/referrers/{image}")
    assert [one["digest"] for one in json.loads(body)["manifests"]] == [signature]
    assert tags(app) == ["1.0"]


def test_all_images_need_tags_of_their_own(app: str, tmp_path: Path) -> None:
    path = tmp_path / "several.tar"
    path.write_bytes(tar_of(docker_archive((["a:1"], LAYERS), (["b:1"], LAYERS[:1]))))
    result = run("push", path, app, "--all")
    assert result.exit_code == 2
    assert "each needs a tag that no other image has" in result.stderr
    assert "pass --select with one of: a:1, b:1" in result.stderr


def test_layers_are_mounted_from_another_repository(
    upstream: DockerRegistry, app: str, archive: Path
) -> None:
    upstream.forget("team/base")
    assert run("push", archive, f"{upstream.host}/team/base:1").exit_code == 0
    result = run("push", archive, app, "--mount-from", "team/base", "-o", "json")
    assert {blob["result"] for blob in json.loads(result.stdout)["blobs"]} == {"mounted"}


def test_a_dry_run_uploads_nothing(upstream: DockerRegistry, app: str, archive: Path) -> None:
    planned = run("push", archive, app, "--dry-run")
    assert planned.exit_code == 0, planned.stderr
    assert "3 of 3 blobs uploaded" in planned.stderr
    assert planned.stdout.endswith(" (dry run)\n")
    repository = upstream.root / "docker" / "registry" / "v2" / "repositories" / "team" / "app"
    assert not repository.exists()
    record = json.loads(run("push", archive, app, "--dry-run", "-o", "json").stdout)
    assert record["dry_run"] == "client"
    assert run("push", archive, app).stdout == planned.stdout.replace(" (dry run)", "")


def test_a_dry_run_mounts_nothing(upstream: DockerRegistry, app: str, archive: Path) -> None:
    run("push", archive, f"{upstream.host}/team/base:1")
    flags = ["--mount-from", "team/base", "--dry-run", "-o", "json"]
    for _ in range(2):
        record = json.loads(run("push", archive, app, *flags).stdout)
        assert {blob["result"] for blob in record["blobs"]} == {"mounted"}


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["nothing.tar", "APP"], 1, "cannot read nothing.tar: No such file or directory"),
        (["ARCHIVE", "Not an image"], 2, "not an image"),
        (["ARCHIVE", "APP", "--select", "other"], 1, "no image other in"),
        (
            ["ARCHIVE", "APP", "--platform", "linux/s390x"],
            1,
            "no image for linux/s390x in the saved image",
        ),
        (["ARCHIVE", "APP", "--platform", "linux"], 2, "not a platform"),
        (["ARCHIVE", "APP:1", "--all"], 2, "--all takes the tags from SOURCE"),
        (
            ["-", "APP", "--username", "x", "--password-stdin"],
            2,
            "standard input cannot hold both the image and the password",
        ),
    ],
)
def test_what_cannot_be_pushed_says_why(
    app: str, archive: Path, args: list[str], code: int, message: str
) -> None:
    names = {"APP": app, "APP:1": f"{app}:1", "ARCHIVE": str(archive)}
    result = run("push", *(names.get(arg, arg) for arg in args))
    assert result.exit_code == code, result.stderr
    assert message in result.stderr
    assert result.stdout == ""


def test_a_terminal_is_not_a_saved_image(app: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(App, "interactive", True)
    result = run("push", "-", app)
    assert result.exit_code == 2
    assert "standard input is a terminal" in result.stderr


def test_a_wrong_password_sends_nothing(archive: Path, serve: Servers, tmp_path: Path) -> None:
    auth = tmp_path / "auth"
    auth.write_text(f"ci:{hashes.make('right', cost=4)}\n")
    registry = serve(docker_registry(tmp_path / "closed", auth_file=auth))
    secret = tmp_path / "password"
    secret.write_text("wrong-one\n")
    who = ["--username", "ci", "--password-file", str(secret)]
    wrong = run("push", archive, f"{registry.host}/team/app:1", *who)
    assert wrong.exit_code == 4
    assert "the registry rejects the password of ci" in wrong.stderr
    secret.write_text("right\n")
    assert run("push", archive, f"{registry.host}/team/app:1", *who).exit_code == 0


@pytest.mark.parametrize("config", ["../docker/config.json", "link.json", "copy.json"])
def test_dockers_own_config_is_not_pushed_as_a_configuration(
    app: str, tmp_path: Path, config: str
) -> None:
    (tmp_path / "docker").mkdir()
    secret = tmp_path / "docker" / "config.json"
    secret.write_text('{"auths": {"registry.foo.com": {"auth": "c2VjcmV0"}}}')
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "link.json").symlink_to(secret)
    (folder / "copy.json").write_bytes(secret.read_bytes())
    listed = [{"Config": config, "RepoTags": ["app:1"], "Layers": []}]
    (folder / "manifest.json").write_text(json.dumps(listed))
    result = run("push", folder, app)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: cannot read {config} in {folder}: it is ")
    assert "c2VjcmV0" not in result.stderr


@pytest.mark.parametrize("name", ["app:../../x", "app:a b", "app:", "app", "\x1b[31m", {"a": 1}])
@pytest.mark.parametrize("flags", [(), ("--all",)])
def test_a_name_that_is_no_tag_is_refused_before_anything_is_sent(
    app: str, tmp_path: Path, name: object, flags: tuple[str, ...]
) -> None:
    files = docker_archive((["app:fine"], LAYERS), (["NAME"], LAYERS[:1]))
    listed = json.loads(files["manifest.json"])[0 if flags else 1 :]
    listed[-1]["RepoTags"] = [name]
    path = tmp_path / "app.tar"
    path.write_bytes(tar_of({**files, "manifest.json": json.dumps(listed).encode()}))
    result = run("push", path, app, *flags)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(
        f"error: cannot read {path}: its manifest.json has a wrong name"
    )
    assert cli.run("tags", app, "--plain-http").exit_code == 1, "there is no repository"


def test_a_name_in_a_layout_that_is_no_tag_is_refused_before_anything_is_sent(
    app: str, tmp_path: Path
) -> None:
    layout = Layout()
    layout.name(layout.image(LAYERS), "fine")
    layout.name(layout.image(LAYERS[:1]), "1.0+build")
    result = run("push", layout.write(tmp_path), app, "--all")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: not a tag: '1.0+build'")
    assert cli.run("tags", app, "--plain-http").exit_code == 1, "there is no repository"
