"""Reading saved images: both forms, however packed, and what is wrong with damaged ones."""

import gzip
import io
import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

from regctl.errors import DigestMismatchError, FileAccessError, MalformedError, NotInRegistryError
from regctl.images.archive import Blob, Layer, SavedImage, open_archive, unique_parts
from regctl.images.manifests import Platform
from tests.saved_images import OCI_MANIFEST, Layout, digest_of, docker_archive, tar_of

LAYERS = (b"first layer" * 100, b"second layer" * 200)


def read(source: Path | str, stdin: bytes = b"") -> tuple[SavedImage, ...]:
    with open_archive(str(source), io.BytesIO(stdin)) as images:
        return images


def packed(source: Path, folder: Path) -> list[Blob]:
    """Every part of the one image in *source*, as it would be sent, its content checked."""
    with open_archive(str(source), io.BytesIO()) as (image,):
        blobs = [
            part.packed(folder) if isinstance(part, Layer) else part
            for part in unique_parts(image.manifest)
        ]
        for blob in blobs:
            assert sum(len(piece) for piece in blob.pieces()) == blob.size
        return blobs


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "app.tar"
    path.write_bytes(tar_of(docker_archive((["team/app:1.0"], LAYERS))))
    return path


def test_layers_of_docker_are_compressed_the_same_every_time(saved: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    first, second = (packed(saved, folder) for folder in folders)
    assert [blob.digest for blob in first] == [blob.digest for blob in second]
    config, *layers = first
    assert config.media_type == "application/vnd.docker.container.image.v1+json"
    for layer, tar in zip(layers, LAYERS, strict=True):
        with layer.open() as stream:
            assert gzip.decompress(stream.read()) == tar
        assert layer.size < len(tar)


def test_blocks_that_compress_and_blocks_that_do_not(tmp_path: Path) -> None:
    noise = os.urandom(1_500_000)
    layer = b"text" * 500_000 + noise + b"more text" * 200_000
    path = tmp_path / "app.tar"
    path.write_bytes(tar_of(docker_archive((["app:1"], [layer, b""]))))
    _, blob, empty = packed(path, tmp_path)
    with blob.open() as stream:
        assert gzip.decompress(stream.read()) == layer
    with empty.open() as stream:
        assert gzip.decompress(stream.read()) == b""
    assert len(noise) < blob.size < 1.5 * len(noise)
    with blob.open() as stream:
        subprocess.run(["gzip", "--test"], stdin=stream, check=True)


def test_names_and_tags(saved: Path, tmp_path: Path) -> None:
    (image,) = read(saved)
    assert (image.names, image.tags) == (("team/app:1.0",), ("1.0",))
    path = tmp_path / "more.tar"
    several = docker_archive((["localhost:5000/a:1", "a:2"], LAYERS[:1]), ([], LAYERS))
    path.write_bytes(tar_of(several))
    first, second = read(path)
    assert first.tags == ("1", "2")
    assert second.tags == ()


def test_gzip_and_pipes_are_read_like_files(saved: Path) -> None:
    data = saved.read_bytes()
    squeezed = saved.with_suffix(".tar.gz")
    squeezed.write_bytes(gzip.compress(data))
    assert read(squeezed) == read(saved)
    piped, feed = os.pipe()

    def write() -> None:
        with os.fdopen(feed, "wb") as stream:
            stream.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(piped, "rb") as stdin, open_archive("-", stdin) as images:
        assert images[0].tags == ("1.0",)
    writer.join()


def test_a_layer_that_is_a_link_and_one_that_is_compressed_already(tmp_path: Path) -> None:
    files = docker_archive((["app:1"], LAYERS))
    first, second, *_ = (name for name in files if name.endswith("layer.tar"))
    squeezed = gzip.compress(files[second])
    listed = json.loads(files["manifest.json"])
    listed[0]["Layers"] = ["linked/layer.tar", second]
    files |= {second: squeezed, "manifest.json": json.dumps(listed).encode()}
    path = tmp_path / "app.tar"
    path.write_bytes(tar_of(files, links={"linked/layer.tar": f"../{first}"}))
    _, linked, compressed = packed(path, tmp_path)
    with linked.open() as stream:
        assert gzip.decompress(stream.read()) == LAYERS[0]
    assert compressed.digest == digest_of(squeezed), "it stays as it is"


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
    path.write_bytes(tar_of(layout.whole()))
    assert read(path) == (found,)


def test_an_image_for_several_platforms(tmp_path: Path) -> None:
    layout = Layout()
    children = [layout.image(LAYERS, architecture=name) for name in ("amd64", "arm64")]
    layout.name(layout.index(*children), "1.0")
    (found,) = read(layout.write(tmp_path))
    assert len(found.manifest.children) == 2
    assert len(unique_parts(found.manifest)) == 4, "shared layers count once"
    arm = found.for_platform(Platform.parse("linux/arm64"))
    assert digest_of(arm.manifest.content([])) == children[1]["digest"]
    with pytest.raises(NotInRegistryError) as caught:
        found.for_platform(Platform.parse("linux/s390x"))
    assert caught.value.hint == "its platforms: linux/amd64, linux/arm64"


def test_a_platform_that_was_not_saved(tmp_path: Path) -> None:
    layout = Layout()
    child = layout.image(LAYERS, architecture="arm64")
    layout.name(layout.index(child), "1.0")
    del layout.files[f"blobs/{child['digest'].replace(':', '/')}"]
    with pytest.raises(MalformedError, match="the image for linux/arm64 is missing"):
        read(layout.write(tmp_path))


def test_a_wrong_manifest_is_found_when_it_is_read(tmp_path: Path) -> None:
    layout = Layout()
    image = layout.image(LAYERS)
    layout.name(image, "1.0")
    name = f"blobs/{image['digest'].replace(':', '/')}"
    layout.files[name] = layout.files[name].replace(b"amd64", b"arm64") + b" "
    with pytest.raises(DigestMismatchError):
        read(layout.write(tmp_path))


def test_a_wrong_layer_is_found_when_it_is_packed_or_sent(tmp_path: Path) -> None:
    files = docker_archive((["app:1"], LAYERS))
    name = next(name for name in files if name.endswith("layer.tar"))
    path = tmp_path / "app.tar"
    path.write_bytes(tar_of({**files, name: b"F" + files[name][1:]}))
    with pytest.raises(DigestMismatchError, match="the layer"):
        packed(path, tmp_path)
    layout = Layout()
    image = layout.image(LAYERS)
    layout.name(image, "1.0")
    folder = layout.write(tmp_path / "oci")
    body = json.loads(layout.files[f"blobs/{image['digest'].replace(':', '/')}"])
    blob = folder / "blobs" / body["layers"][0]["digest"].replace(":", "/")
    blob.write_bytes(b"x" * blob.stat().st_size)
    with pytest.raises(DigestMismatchError, match="the saved blob"):
        packed(folder, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a tar"),
        (b"hello" * 300, "not a tar"),
        (tar_of({"readme": b"x"}), "no saved image"),
        (tar_of({"manifest.json": b"{"}), "not JSON"),
        (tar_of({"manifest.json": b'[{"Config": 1}]'}), "not that of"),
        (tar_of({"manifest.json": b"[]"}), "no image in it"),
        (tar_of({"manifest.json": b'[{"Config": "c", "Layers": []}]'}), "c is missing"),
        (tar_of({"index.json": b'{"manifests": [{"digest": "x"}]}'}), "no digest"),
        (
            tar_of({"index.json": b'{"manifests": [{"digest": "md5:../../x", "size": 1}]}'}),
            "not a digest",
        ),
        (b"\x28\xb5\x2f\xfdxxxxxx", "compressed by zstd"),
        (gzip.compress(tar_of({"a": b"x" * 99_999}))[:-30], "cut short"),
        (b"\x1f\x8b not gzip at all", "gzip is broken"),
    ],
)
def test_what_is_no_saved_image(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "app.tar"
    path.write_bytes(content)
    with pytest.raises(MalformedError, match=message) as caught:
        read(path)
    assert str(path) in caught.value.message


def test_a_tar_that_is_cut_short(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:1500])
    with pytest.raises(MalformedError):
        read(saved)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="No such file"):
        read(tmp_path / "nothing.tar")
