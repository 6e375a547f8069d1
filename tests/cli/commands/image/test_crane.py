"""crane, another client, sees in a registry what regctl pushed, tagged, listed and deleted."""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from regctl.retry import Backoff
from tests import cli
from tests.cli.commands.image import pushed_digest, run, tags
from tests.conftest import Servers
from tests.saved_images import Layout, docker_archive, tar_of
from tests.servers.process import on_free_port
from tests.servers.programs import find

LAYERS = [tar_of({f"file-{name}": name.encode() * 5_000}) for name in ("one", "two", "three")]


def crane(*args: str | Path) -> str:
    command = [find("crane"), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=["distribution", "olareg"])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The name of a new repository, in distribution and in olareg."""
    fixture = {"distribution": "upstream", "olareg": "without_catalog"}[request.param]
    host = request.getfixturevalue(fixture).host
    return f"{host}/crane/{tmp_path.name.lower()}"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An image saved by docker as app:1.0."""
    path = tmp_path / "app.tar"
    path.write_bytes(tar_of(docker_archive((["app:1.0"], LAYERS[:2]))))
    return path


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """An image for two platforms, which share a layer, as an OCI layout."""
    layout = Layout()
    layers = {"amd64": LAYERS[:2], "arm64": LAYERS[1:]}
    children = [layout.image(layers[name], architecture=name) for name in layers]
    layout.name(layout.index(*children), "2.0")
    return layout.write(tmp_path / "oci")


def blobs(image: str) -> dict[str, int]:
    """Return the size of each config and layer of an image, as the manifests in crane say."""
    manifest: dict[str, Any] = json.loads(crane("manifest", image))
    if "manifests" in manifest:
        name = image.rpartition(":")[0]
        children = [blobs(f"{name}@{child['digest']}") for child in manifest["manifests"]]
        return {digest: size for child in children for digest, size in child.items()}
    return {part["digest"]: part["size"] for part in [manifest["config"], *manifest["layers"]]}


def test_crane_validates_and_lists_what_was_pushed(
    repository: str, archive: Path, layout: Path
) -> None:
    pushed = {"1.0": archive, "2.0": layout}
    for tag, source in pushed.items():
        digest = pushed_digest(run("push", source, repository))
        image = f"{repository}:{tag}"
        assert crane("validate", "--remote", image).startswith("PASS")
        assert crane("digest", image).strip() == digest
        manifest = crane("manifest", image).encode()
        assert f"sha256:{hashlib.sha256(manifest).hexdigest()}" == digest
    assert crane("ls", repository).split() == list(pushed) == tags(repository)


def test_a_long_list_has_the_digests_and_sizes_that_crane_sees(
    repository: str, archive: Path, layout: Path
) -> None:
    for source in (archive, layout):
        run("push", source, repository)
    shown = cli.run_ok("tags", repository, "--long", "--plain-http", "-o", "json")
    seen = {one["name"]: (one["digest"], one["size"]) for one in json.loads(shown.stdout)["tags"]}
    assert seen == {
        tag: (
            crane("digest", f"{repository}:{tag}").strip(),
            sum(blobs(f"{repository}:{tag}").values()),
        )
        for tag in ("1.0", "2.0")
    }


def test_an_image_that_crane_pulls_is_pushed_with_its_digest(
    repository: str, layout: Path, tmp_path: Path
) -> None:
    digest = pushed_digest(run("push", layout, repository))
    crane("pull", "--format", "oci", f"{repository}:2.0", tmp_path / "pulled")
    assert pushed_digest(run("push", tmp_path / "pulled", f"{repository}-again:2.0")) == digest
    crane("validate", "--remote", f"{repository}-again:2.0")


def test_an_image_of_crane_is_inspected_tagged_and_deleted(repository: str, tmp_path: Path) -> None:
    layer = tmp_path / "layer.tar"
    layer.write_bytes(LAYERS[0])
    image = f"{repository}:1.0"
    crane("append", "--oci-empty-base", "--new_layer", layer, "--new_tag", image)
    shown = json.loads(run("inspect", image, "-o", "json").stdout)
    assert shown["digest"] == crane("digest", image).strip()
    (variant,) = shown["variants"]
    parts = [variant["config"], *variant["layers"]]
    assert {part["digest"]: part["size"] for part in parts} == blobs(image)
    assert run("tag", image, "stable").exit_code == 0
    assert crane("digest", f"{repository}:stable").strip() == shown["digest"]
    assert run("delete", image, "--all-tags", "--yes").exit_code == 0
    assert crane("ls", repository).split() == []


@contextmanager
def crane_registry(folder: Path) -> Iterator[str]:
    """Run the registry of go-containerregistry, in memory; yield its host."""
    program = find("crane")

    def arguments(port: int) -> list[str]:
        return [program, "registry", "serve", "--address", f"127.0.0.1:{port}"]

    with on_free_port(arguments, log=folder / "crane.log") as (_process, port):
        yield f"127.0.0.1:{port}"


def test_a_registry_that_keeps_the_tags_of_a_deleted_digest_is_a_failure(
    archive: Path, serve: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """go-containerregistry answers 202, deletes the digest and keeps its tags."""
    monkeypatch.setattr("regctl.images.tags.LOOKS", Backoff(tries=2, base=0.0))
    app = f"{serve(crane_registry(tmp_path))}/team/app"
    digest = pushed_digest(run("push", archive, app))
    result = run("delete", f"{app}@{digest}", "--yes")
    assert result.exit_code == 1
    assert f"error: cannot delete {app}:1.0: the registry accepted that" in result.stderr
    assert run("delete", f"{app}:1.0", "--yes").stdout == f"image/{app}:1.0 deleted\n"
    assert tags(app) == []
