"""The files of a saved image in a folder, a tar, a compressed tar and a pipe."""

import gzip
import io
import os
import tarfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from regctl.errors import FileAccessError, MalformedError
from regctl.images.files import ImageFiles, open_files
from tests.saved_images import tar_of

FILES = {"index.json": b"{}", "blobs/sha256/a": b"first" * 1000, "blobs/sha256/b": b"second"}


def content(files: ImageFiles, name: str) -> bytes | None:
    found = files.find(name)
    if found is None:
        return None
    with found.open() as stream:
        data = stream.read()
    assert len(data) == found.size
    return data


def folder(path: Path) -> str:
    for name, data in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return str(path)


def tar(path: Path) -> str:
    (path / "app.tar").write_bytes(tar_of(FILES))
    return str(path / "app.tar")


def compressed_tar(path: Path) -> str:
    (path / "app.tar.gz").write_bytes(gzip.compress(tar_of(FILES)))
    return str(path / "app.tar.gz")


@pytest.mark.parametrize("save", [folder, tar, compressed_tar])
def test_every_file_is_found_by_its_name(save: Callable[[Path], str], tmp_path: Path) -> None:
    with open_files(save(tmp_path)) as files:
        assert {name: content(files, name) for name in FILES} == FILES
        assert files.find("blobs/sha256/c") is None


@pytest.mark.parametrize("data", [tar_of(FILES), gzip.compress(tar_of(FILES))])
@pytest.mark.parametrize("first_bytes", [1, 512])
def test_a_pipe_is_read_like_a_file(data: bytes, first_bytes: int) -> None:
    """Even if it has only one byte at first."""
    read_end, write_end = os.pipe()

    def write() -> None:
        with os.fdopen(write_end, "wb", buffering=0) as stream:
            stream.write(data[:first_bytes])
            stream.write(data[first_bytes:])

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(read_end, "rb") as stdin, open_files(stdin) as files:
        assert {name: content(files, name) for name in FILES} == FILES
    writer.join()


def test_several_threads_read_one_tar(tmp_path: Path) -> None:
    data = {f"layer-{number}": bytes([number]) * 1_000_000 for number in range(4)}
    path = tmp_path / "app.tar"
    path.write_bytes(tar_of(data))
    with open_files(path) as files, ThreadPoolExecutor(4) as executor:
        names = list(data) * 4
        found = executor.map(lambda name: content(files, name) == data[name], names)
        assert all(found)


def test_a_file_in_a_tar_can_be_read_again_from_any_position(tmp_path: Path) -> None:
    with open_files(tar(tmp_path)) as files:
        found = files.find("blobs/sha256/a")
        assert found is not None
        with found.open() as stream:
            assert stream.read(7) == b"firstfi"
            stream.seek(5)
            assert stream.read(5) == b"first"
            stream.seek(-5, io.SEEK_END)
            assert stream.read() == b"first"


def test_a_link_leads_to_its_file(tmp_path: Path) -> None:
    path = tmp_path / "app.tar"
    links = {"b/layer.tar": "../a/layer.tar", "c/layer.tar": "../b/layer.tar"}
    path.write_bytes(tar_of({"a/layer.tar": b"content"}, links=links))
    with tarfile.open(path, "a") as appended:
        hard = tarfile.TarInfo("d/layer.tar")
        hard.type, hard.linkname = tarfile.LNKTYPE, "a/layer.tar"
        appended.addfile(hard)
    with open_files(path) as files:
        for name in ("b/layer.tar", "c/layer.tar", "d/layer.tar"):
            assert content(files, name) == b"content"


def test_a_link_to_nothing_and_a_link_to_itself_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "app.tar"
    path.write_bytes(tar_of({"x": b""}, links={"dangling": "nothing", "loop": "loop"}))
    with open_files(path) as files:
        assert files.find("dangling") is None
        assert files.find("loop") is None


def test_a_tar_gives_nothing_from_the_disk(tmp_path: Path) -> None:
    """Names and links that leave a tar are names in it: it is never unpacked."""
    outside = tmp_path / "config.json"
    outside.write_bytes(b"secret")
    links = {"absolute": str(outside), "relative": "../config.json", "folder": str(tmp_path)}
    path = tmp_path / "image" / "app.tar"
    path.parent.mkdir()
    path.write_bytes(tar_of({"../inside": b"content"}, links=links))
    with open_files(path) as files:
        for name in (*links, str(outside), "../config.json", "folder/config.json"):
            assert files.find(name) is None
        assert content(files, "../inside") == b"content"
    assert list(path.parent.iterdir()) == [path]
    assert not (tmp_path / "inside").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a tar"),
        (b"hello" * 300, "not a tar"),
        (b"\x28\xb5\x2f\xfdxxxxxx", "compressed by zstd, not by gzip"),
        (b"BZhxxxxxx", "compressed by bzip2, not by gzip"),
        (gzip.compress(tar_of({"a": b"x" * 99_999}))[:-30], "gzip data is damaged"),
        (b"\x1f\x8b not gzip at all", "gzip data is damaged"),
    ],
)
def test_a_file_that_is_not_a_readable_tar_is_named(
    tmp_path: Path, data: bytes, message: str
) -> None:
    path = tmp_path / "app.tar"
    path.write_bytes(data)
    with (
        pytest.raises(MalformedError, match=message) as caught,
        open_files(path),
    ):
        pass
    assert str(path) in caught.value.message


def test_a_truncated_tar_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "app.tar"
    path.write_bytes(tar_of(FILES)[:3000])
    with pytest.raises(MalformedError, match="truncated"), open_files(path):
        pass


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nothing.tar"
    with (
        pytest.raises(FileAccessError, match=f"cannot read {path}: No such file"),
        open_files(path),
    ):
        pass


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with a file, beside one that is not to be read."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "config.json").write_bytes(b"secret")
    inside = tmp_path / "image"
    inside.mkdir()
    (inside / "file").write_bytes(b"content")
    return inside


@pytest.mark.parametrize("name", ["../outside/config.json", "a/../../outside/config.json", ".."])
def test_a_name_that_leaves_the_folder_is_refused(hostile: Path, name: str) -> None:
    with open_files(hostile) as files, pytest.raises(MalformedError, match="outside of the folder"):
        files.find(name)


@pytest.mark.parametrize("link", ["link", "folder/config.json"])
@pytest.mark.parametrize("relative", [False, True])
def test_a_symbolic_link_in_a_folder_is_refused(
    hostile: Path, link: str, *, relative: bool
) -> None:
    target = Path("..") / "outside" if relative else hostile.parent / "outside"
    (hostile / "link").symlink_to(target / "config.json")
    (hostile / "folder").symlink_to(target, target_is_directory=True)
    with (
        open_files(hostile) as files,
        pytest.raises(MalformedError, match="symbolic link") as error,
    ):
        files.find(link)
    assert error.value.hint == "`cp -RL FOLDER COPY` replaces the links by what they refer to"


def test_a_file_that_becomes_a_link_after_it_was_found_is_refused(hostile: Path) -> None:
    with open_files(hostile) as files:
        found = files.find("file")
        (hostile / "file").unlink()
        (hostile / "file").symlink_to(hostile.parent / "outside" / "config.json")
        assert found is not None
        with pytest.raises(MalformedError, match="symbolic link"):
            found.open()


def test_only_regular_files_of_a_folder_are_read(hostile: Path) -> None:
    os.mkfifo(hostile / "fifo")
    (hostile / "folder").mkdir()
    (hostile / "hard").hardlink_to(hostile / "file")
    with open_files(hostile) as files:
        for name in ("fifo", "folder"):
            with pytest.raises(MalformedError, match="not a regular file"):
                files.find(name)
        for name in ("file", "hard", "./folder/../file"):
            assert content(files, name) == b"content"
        absolute = str(hostile.parent / "outside" / "config.json")
        for name in (absolute, "nothing", "file/below", "a\0b", "\ud800"):
            assert files.find(name) is None
