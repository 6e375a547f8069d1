"""Saved images in both formats, and what is wrong with damaged ones."""

import json
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.errors import (
    DigestMismatchError,
    InvalidInputError,
    MalformedError,
    NotInRegistryError,
    RegctlError,
)
from regctl.images.archive import SavedImage, open_archive, select_images
from regctl.images.layers import Blob
from regctl.images.manifests import Platform
from tests.saved_images import (
    OCI_INDEX,
    OCI_MANIFEST,
    Layout,
    config_of,
    digest_of,
    docker_archive,
    tar_of,
)

LAYERS = (b"first layer" * 100, b"second layer" * 200)
IMAGE = json.dumps(
    {"mediaType": OCI_MANIFEST, "config": {"digest": "a:b", "size": 1}, "layers": []}
).encode()


def read(source: Path | str) -> tuple[SavedImage, ...]:
    with open_archive(source) as images:
        return images


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "app.tar"
    path.write_bytes(tar_of(docker_archive((["team/app:1.0"], LAYERS))))
    return path


def test_the_manifest_of_a_docker_archive_lists_the_parts_as_stored(saved: Path) -> None:
    with open_archive(saved) as (image,):
        stored = []
        for part in image.manifest.unique_parts:
            with part.stored() as blob:
                stored.append(blob.descriptor)
    document = json.loads(image.manifest.content(stored))
    assert document["config"]["mediaType"] == "application/vnd.docker.container.image.v1+json"
    assert {layer["mediaType"] for layer in document["layers"]} == {
        "application/vnd.docker.image.rootfs.diff.tar.gzip"
    }
    listed = [document["config"], *document["layers"]]
    assert [one["digest"] for one in listed] == [one.digest for one in stored]
    assert [one["size"] for one in listed] == [one.size for one in stored]


def test_names_and_tags(saved: Path, tmp_path: Path) -> None:
    (image,) = read(saved)
    assert (image.names, image.tags) == (("team/app:1.0",), ("1.0",))
    path = tmp_path / "more.tar"
    several = docker_archive((["localhost:5000/a:1", "a:2"], LAYERS[:1]), ([], LAYERS))
    path.write_bytes(tar_of(several))
    first, second = read(path)
    assert first.tags == ("1", "2")
    assert second.tags == ()


def test_an_image_is_selected_by_name_or_tag(tmp_path: Path) -> None:
    path = tmp_path / "several.tar"
    path.write_bytes(tar_of(docker_archive((["a:1"], LAYERS), (["b:2"], LAYERS[:1]))))
    images = read(path)
    assert select_images(images, "it", name="a:1") == [images[0]]
    assert select_images(images, "it", name="2") == [images[1]]
    assert select_images(images, "it", every=True) == images
    with pytest.raises(NotInRegistryError, match="no image c in it") as caught:
        select_images(images, "it", name="c")
    assert caught.value.hint == "pass --select with one of: a:1, b:2"
    with pytest.raises(InvalidInputError, match="it has 2 images") as several:
        select_images(images, "it")
    assert several.value.hint == "pass --select with one of: a:1, b:2; or --all"
    unnamed = [SavedImage((), one.manifest) for one in images]
    for every in (False, True):
        with pytest.raises(InvalidInputError) as nameless:
            select_images(unnamed, "it", every=every)
        assert nameless.value.hint == "`docker save IMAGE:TAG` saves an image with its name"


def test_a_layer_that_docker_saved_as_a_link(tmp_path: Path) -> None:
    files = docker_archive((["app:1"], LAYERS))
    first, second = (name for name in files if name.endswith("layer.tar"))
    listed = json.loads(files["manifest.json"])
    listed[0]["Layers"] = ["linked/layer.tar", second]
    files["manifest.json"] = json.dumps(listed).encode()
    path = tmp_path / "app.tar"
    path.write_bytes(tar_of(files, links={"linked/layer.tar": f"../{first}"}))
    with open_archive(path) as (image,):
        _, linked, _ = image.manifest.unique_parts
        with linked.open() as stream:
            assert stream.read() == LAYERS[0]


def test_a_layout_is_kept_byte_for_byte(tmp_path: Path) -> None:
    layout = Layout()
    image = layout.image(LAYERS)
    layout.name(image, "1.0")
    layout.name(image, "latest")
    (found,) = read(layout.write(tmp_path / "oci"))
    assert found.tags == ("1.0", "latest")
    assert found.manifest.media_type == OCI_MANIFEST
    assert digest_of(found.manifest.content([])) == image["digest"]
    path = tmp_path / "oci.tar"
    path.write_bytes(tar_of(layout.all_files()))
    assert read(path) == (found,)


def test_an_image_for_several_platforms(tmp_path: Path) -> None:
    layout = Layout()
    children = [layout.image(LAYERS, architecture=name) for name in ("amd64", "arm64")]
    layout.name(layout.index(*children), "1.0")
    (found,) = read(layout.write(tmp_path))
    assert len(found.manifest.children) == 2
    assert len(found.manifest.unique_parts) == 4, "shared layers count once"
    assert found.manifest.size == sum(part.size for part in found.manifest.unique_parts)
    arm = found.for_platform(Platform.parse("linux/arm64"))
    assert digest_of(arm.manifest.content([])) == children[1]["digest"]
    with pytest.raises(
        NotInRegistryError, match="no image for linux/s390x in the saved image"
    ) as caught:
        found.for_platform(Platform.parse("linux/s390x"))
    assert caught.value.hint == "it has linux/amd64, linux/arm64"


def test_the_platform_of_a_layout_comes_from_the_configuration_if_the_index_has_none(
    tmp_path: Path,
) -> None:
    layout = Layout()
    image = layout.image(LAYERS, architecture="arm64")
    del image["platform"]
    layout.name(image, "1.0")
    (found,) = read(layout.write(tmp_path))
    assert found.manifest.platform == Platform("linux", "arm64")


def test_layers_that_are_stored_elsewhere_are_not_uploaded(tmp_path: Path) -> None:
    layout = Layout()
    foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    manifest = {
        "schemaVersion": 2,
        "config": layout.blob(b"{}", "application/vnd.oci.image.config.v1+json"),
        "layers": [{"mediaType": foreign, "digest": digest_of(b"elsewhere"), "size": 9}],
    }
    layout.name(layout.blob(json.dumps(manifest).encode(), OCI_MANIFEST), "1.0")
    (found,) = read(layout.write(tmp_path))
    assert [part.digest for part in found.manifest.unique_parts] == [digest_of(b"{}")]


def test_a_platform_that_was_not_saved(tmp_path: Path) -> None:
    layout = Layout()
    child = layout.image(LAYERS, architecture="arm64")
    layout.name(layout.index(child), "1.0")
    del layout.files[f"blobs/{child['digest'].replace(':', '/')}"]
    (found,) = read(layout.write(tmp_path))
    with pytest.raises(MalformedError, match="lacks a part of the image: linux/arm64"):
        found.whole("app.tar")
    with pytest.raises(MalformedError, match="the saved index lacks linux/arm64"):
        found.manifest.content([])


def test_a_layer_that_was_not_saved_is_a_missing_platform(tmp_path: Path) -> None:
    layout = Layout()
    children = [layout.image((name.encode(),), architecture=name) for name in ("amd64", "arm64")]
    layout.name(layout.index(*children), "1.0")
    layout.drop(*json.loads(layout.files[blob_name(children[0]["digest"])])["layers"])
    (found,) = read(layout.write(tmp_path))
    whole = found.whole("app.tar")
    assert whole.manifest.digest == children[1]["digest"]
    assert whole.missing == ("linux/amd64",)


def blob_name(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def test_a_damaged_configuration_is_found_when_it_is_read(saved: Path, tmp_path: Path) -> None:
    layout = Layout()
    image = layout.image(LAYERS)
    layout.name({key: value for key, value in image.items() if key != "platform"}, "1.0")
    manifest = json.loads(layout.files[blob_name(image["digest"])])
    config = blob_name(manifest["config"]["digest"])
    layout.files[config] = layout.files[config].replace(b"amd64", b"arm64")
    with pytest.raises(DigestMismatchError, match="configuration"):
        read(layout.write(tmp_path))

    files = docker_archive((["team/app:1.0"], LAYERS))
    name = json.loads(files["manifest.json"])[0]["Config"]
    saved.write_bytes(tar_of(files | {name: files[name].replace(b"amd64", b"arm64")}))
    with pytest.raises(DigestMismatchError, match=name):
        read(saved)


def test_referrers_belong_to_their_image(tmp_path: Path) -> None:
    layout = Layout()
    images = [layout.image((name.encode(),), architecture=name) for name in ("amd64", "arm64")]
    sbom = layout.image((b"sbom",), subject=images[0])
    signature = layout.image((b"signature",), subject=sbom)
    elsewhere = layout.image((b"x",), subject=images[0] | {"digest": digest_of(b"elsewhere")})
    layout.name(layout.index(*images), "1.0")
    layout.listed += [signature, sbom, elsewhere]
    image, alone = read(layout.write(tmp_path))
    both = {sbom["digest"], signature["digest"]}
    assert {one.digest for one in image.referrers} == both
    assert alone.manifest.digest == elsewhere["digest"]
    amd64, arm64 = (image.for_platform(Platform("linux", name)) for name in ("amd64", "arm64"))
    assert {one.digest for one in amd64.referrers} == both
    assert arm64.referrers == ()


def test_indexes_nested_too_deeply_are_an_error(tmp_path: Path) -> None:
    layout = Layout()
    nested = layout.image(LAYERS)
    for _ in range(8):
        nested = layout.index(nested)
    layout.name(nested, "1.0")
    with pytest.raises(MalformedError, match="nested too deeply"):
        read(layout.write(tmp_path))


def test_a_manifest_that_several_indexes_list_is_read_once(tmp_path: Path) -> None:
    layout = Layout()
    nested = layout.image(LAYERS)
    for _ in range(4):
        nested = layout.index(nested, nested)
    layout.name(nested, "1.0")
    (found,) = read(layout.write(tmp_path))
    levels = [one.digest for one in found.manifest.walk()]
    assert len(levels) == 5, "an index before what it lists, each once"
    assert levels[0] == nested["digest"]


def test_a_wrong_manifest_is_found_when_it_is_read(tmp_path: Path) -> None:
    layout = Layout()
    image = layout.image(LAYERS)
    layout.name(image, "1.0")
    name = f"blobs/{image['digest'].replace(':', '/')}"
    layout.files[name] = layout.files[name].replace(b"amd64", b"arm64") + b" "
    with pytest.raises(DigestMismatchError):
        read(layout.write(tmp_path))


def test_a_blob_of_the_wrong_size_is_found_when_it_is_read(tmp_path: Path) -> None:
    layout = Layout()
    layout.name(layout.image(LAYERS), "1.0")
    folder = layout.write(tmp_path)
    with open_archive(folder) as (image,):
        layer = image.manifest.unique_parts[1]
    assert isinstance(layer, Blob)
    (folder / "blobs" / layer.digest.replace(":", "/")).write_bytes(b"short")
    with pytest.raises(MalformedError, match=f"has 5 bytes, not {layer.size}"):
        read(folder)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"readme": b"x"}, "not a saved image"),
        ({"manifest.json": b"{"}, "not JSON"),
        ({"manifest.json": b'[{"Config": 1}]'}, "not written by `docker save`"),
        ({"manifest.json": b"[]"}, "it has no image"),
        ({"manifest.json": b'[{"Config": "c", "Layers": []}]'}, "c is missing"),
        (
            {"manifest.json": b'[{"Config": "c", "Layers": []}]', "c": b'{"auths": {}}'},
            "it is not the configuration of an image",
        ),
        (
            {"manifest.json": b'[{"Config": "c", "Layers": [], "RepoTags": "app:1"}]'},
            "not written by `docker save`",
        ),
        (
            {"manifest.json": b'[{"Config": "c", "Layers": ["a"]}]', "c": config_of([])},
            "does not list the digests of the 1 layers",
        ),
        ({"manifest.json": b" " * 5_000_000}, "has 5000000 bytes, more than 4 MiB"),
        ({"index.json": b'{"manifests": [{"digest": "x"}]}'}, "no digest"),
        ({"index.json": IMAGE}, "not an index"),
        (
            {"index.json": b'{"manifests": [{"digest": "md5:../../x", "size": 1}]}'},
            "not a digest",
        ),
    ],
)
def test_what_is_not_a_saved_image_is_named(
    tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    path = tmp_path / "app.tar"
    path.write_bytes(tar_of(files))
    with pytest.raises(MalformedError, match=message) as caught:
        read(path)
    assert str(path) in caught.value.message


# Documents made of the fields that are read, with values of any kind.
WORDS = st.sampled_from(
    [digest_of(b"{}"), "sha256:x", OCI_INDEX, OCI_MANIFEST, "c", "a:1", "", "\ud800"]
)
FIELDS = st.sampled_from(
    ["manifests", "layers", "config", "digest", "size", "mediaType", "platform", "annotations"]
) | st.sampled_from(
    ["os", "architecture", "subject", "rootfs", "diff_ids", "Config", "Layers", "RepoTags"]
)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | WORDS
DOCUMENTS = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=6),
    max_leaves=20,
)


@given(document=DOCUMENTS, children=st.lists(DOCUMENTS), as_layout=st.booleans())
def test_a_document_of_any_content_is_read_or_refused(
    document: object, children: list[object], *, as_layout: bool
) -> None:
    """Each other document is stored as a blob, and listed."""
    layout = Layout()
    listed = [layout.blob(json.dumps(child).encode(), OCI_INDEX) for child in children]
    if isinstance(document, dict) and listed:
        document["manifests"] = listed
    name = "index.json" if as_layout else "manifest.json"
    files = {
        **layout.files,
        "c": json.dumps(children).encode(),
        name: json.dumps(document).encode(),
    }
    with tempfile.TemporaryFile() as file:
        file.write(tar_of(files))
        file.seek(0)
        with suppress(RegctlError), open_archive(file) as images:
            for one in images:
                one.whole("it").manifest.content([])


@given(st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_tar_of_any_content_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    """Its header's checksums are right."""
    with tempfile.TemporaryFile() as file:
        data = bytearray(tar_of(docker_archive((["a" * 120 + ":1"], LAYERS))))
        for position, value in changes:
            data[position] = value
        for at in range(0, 4096, 512):
            if data[at + 257 : at + 262] == b"ustar":
                data[at + 148 : at + 156] = b" " * 8
                data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
        file.write(data)
        file.seek(0)
        with suppress(RegctlError), open_archive(file) as images:
            for part in images[0].manifest.unique_parts:
                part.open().close()
