"""Layers of docker are compressed reproducibly and verified; blobs are stored as they are."""

import gzip
import hashlib
import io
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from regctl.errors import DigestMismatchError, MalformedError
from regctl.images.layers import Blob, DockerLayer, check_digest
from tests.saved_images import digest_of

TEXT = b"text of a layer " * 10_000


def layer(saved: bytes, content: bytes | None = None, *, diff_id: str | None = None) -> DockerLayer:
    """A layer saved as *saved*; *content* is its uncompressed tar."""
    digest = diff_id or digest_of(saved if content is None else content)
    return DockerLayer(digest, len(saved), "x/layer", lambda: io.BytesIO(saved), "a/layer.tar")


def stored(one: Blob) -> tuple[Blob, bytes]:
    """The blob that a registry stores, and its content."""
    with one.stored() as blob, blob.open() as stream:
        return blob, stream.read()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


def test_a_blob_is_stored_as_it_is() -> None:
    blob = Blob(digest_of(TEXT), len(TEXT), "text/x", lambda: io.BytesIO(TEXT))
    assert stored(blob) == (blob, TEXT)
    assert (blob.descriptor.digest, blob.descriptor.size) == (blob.digest, len(TEXT))


def test_a_layer_is_compressed_to_the_same_bytes_every_time() -> None:
    first, data = stored(layer(TEXT))
    assert gzip.decompress(data) == TEXT
    assert (first.digest, first.size) == (digest_of(data), len(data))
    assert first.size < len(TEXT) // 10
    assert first.media_type == "x/layer"
    assert stored(layer(TEXT))[0].digest == first.digest


def test_the_temporary_file_of_a_layer_has_no_name(folder: Path) -> None:
    """So nothing of it is left, whatever ends regctl."""
    with layer(TEXT).stored() as blob:
        assert list(folder.iterdir()) == []
        with blob.open() as one, blob.open() as other:
            assert one.read(1000) == other.read(1000)
    wrong = layer(TEXT, diff_id=digest_of(b"other"))
    with pytest.raises(DigestMismatchError), wrong.stored():
        pass
    assert list(folder.iterdir()) == []


def test_blocks_that_compress_and_blocks_that_do_not() -> None:
    noise = os.urandom(1_500_000)
    for content in (b"text" * 500_000 + noise + b"more text" * 200_000, b""):
        _, data = stored(layer(content))
        assert gzip.decompress(data) == content
        subprocess.run(["gzip", "--test"], input=data, check=True)


def test_a_layer_that_is_saved_compressed_is_not_compressed_again(folder: Path) -> None:
    saved = gzip.compress(TEXT)
    blob, data = stored(layer(saved, TEXT))
    assert data == saved
    assert blob.digest == digest_of(saved)
    assert list(folder.iterdir()) == []


def test_a_layer_may_be_listed_with_a_sha512_digest() -> None:
    diff_id = f"sha512:{hashlib.sha512(TEXT).hexdigest()}"
    for saved in (TEXT, gzip.compress(TEXT)):
        _, data = stored(layer(saved, diff_id=diff_id))
        assert gzip.decompress(data) == TEXT


@pytest.mark.parametrize("saved", [TEXT, gzip.compress(TEXT)], ids=["plain", "compressed"])
def test_a_layer_with_the_wrong_content_is_an_error(saved: bytes) -> None:
    wrong = layer(saved, b"other content")
    with pytest.raises(DigestMismatchError, match=r"the layer a/layer\.tar has the digest sha256:"):
        stored(wrong)


def test_a_layer_with_damaged_gzip_data_is_an_error() -> None:
    damaged = gzip.compress(TEXT)[:-20]
    with pytest.raises(MalformedError, match=r"a/layer\.tar: its gzip data is damaged"):
        stored(layer(damaged, TEXT))


def test_both_digests_are_in_the_message() -> None:
    check_digest("sha256:ab", "ab", "the blob")
    with pytest.raises(DigestMismatchError) as caught:
        check_digest("sha256:ab", "cd", "the blob")
    assert caught.value.message == "the blob has the digest sha256:cd, not sha256:ab"
