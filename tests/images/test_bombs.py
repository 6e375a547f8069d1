"""
Saved images that are made to exhaust memory, disk or time.

Each is read by `regctl image push` in a process of its own, with a limit of its address space: what
loops for ever over an archive keeps what it read, so it meets the limit too.
"""

import gzip
import json
import os
import resource
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from regctl.errors import MalformedError
from regctl.images import files
from regctl.images.archive import open_archive
from tests.conftest import Servers
from tests.saved_images import OCI_INDEX, OCI_MANIFEST, Layout, digest_of, docker_archive, tar_of
from tests.servers.standin_registry import (
    Answer,
    Manifest,
    StandinRegistry,
    standin_registry,
)

MEMORY = 200 * 1000 * 1000
RUN = "import sys; from regctl.cli.main import main; sys.exit(main())"


def push(
    source: Path,
    *,
    stdin: IO[bytes] | int | None = subprocess.DEVNULL,
    limit: tuple[int, int] = (resource.RLIMIT_AS, MEMORY),
    host: str = "127.0.0.1:1",
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run `regctl image push SOURCE` under a limit; nobody serves the registry, unless told."""
    name = "-" if source.name == "-" else str(source)
    return run("image", "push", name, f"{host}/app", stdin=stdin, limit=limit, **environment)


def run(
    *args: str, stdin: IO[bytes] | int | None, limit: tuple[int, int], **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, *args, "--plain-http"],
        stdin=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
        preexec_fn=lambda: resource.setrlimit(limit[0], (limit[1], limit[1])),
    )


def header(name: bytes, kind: bytes, size: int, *, link: bytes = b"") -> bytes:
    """The header of a member; a *size* below 0 is written as GNU tar writes what is too large."""
    digits = b"%011o\0" % size if 0 <= size < 8**11 else size.to_bytes(12, "big", signed=True)
    if size >= 8**11:
        digits = b"\x80" + digits[1:]
    fields = struct.pack(
        "100s8s8s8s12s12s8s1s100s8s247x",
        *(name, b"0000644\0", b"0000000\0", b"0000000\0", digits, b"00000000000\0"),
        *(b" " * 8, kind, link, b"ustar\x0000"),
    )
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]


def member(name: bytes, data: bytes = b"", kind: bytes = b"0", *, link: bytes = b"") -> bytes:
    return header(name, kind, len(data), link=link) + data + bytes(-len(data) % 512)


def record(key: bytes, value: bytes) -> bytes:
    """A record of a pax header; it begins with its own length."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


GIB = 1024**3
END = bytes(1024)
KEYS = b"".join(record(b"%d" % number, b"") for number in range(6000))


def with_hole(header: bytes) -> Callable[[IO[bytes]], object]:
    """Write a header whose content of 2 GiB takes no space on the disk."""
    return lambda file: (file.write(header), file.truncate(2 * GIB + 512))


def many(count: int, build: Callable[[int], bytes]) -> Callable[[IO[bytes]], object]:
    """Write members one after the other."""
    return lambda file: file.writelines(build(number) for number in range(count))


def long_names(number: int) -> bytes:
    """A file with a name of 50 kB; one character makes Python take 4 bytes for each."""
    name = "\N{FIRE}".encode() + b"%d" % number + b"/x" * 25_000
    return member(b"L", name, b"L") + member(b"a", kind=b"2", link=b"b" * 99)


# Some Pythons take a negative size for the end of the tar, or for no tar.
ANY = ""
TARS: dict[str, tuple[Callable[[IO[bytes]], object], str]] = {
    "negative size": (
        lambda file: file.write(member(b"a") + header(b"b", b"0", -512) + END),
        ANY,
    ),
    "negative size of a long name": (
        lambda file: file.write(header(b"a", b"L", -512) + bytes(1 << 20)),
        ANY,
    ),
    "negative size in a pax header": (
        lambda file: file.write(member(b"p", record(b"size", b"-1024"), b"x") + member(b"b") + END),
        ANY,
    ),
    "a pax header of 2 GiB": (
        with_hole(header(b"a", b"x", 2 * GIB)),
        "the headers of the tar are too large",
    ),
    "a long name of 2 GiB": (
        with_hole(header(b"a", b"L", 2 * GIB)),
        "the headers of the tar are too large",
    ),
    "a size above 2**64": (
        lambda file: file.write(
            member(b"p", record(b"size", b"9" * 4000), b"x") + member(b"b") + END
        ),
        "it is not a tar, or it is truncated",
    ),
    "global pax headers": (
        many(600, lambda _: member(b"g", KEYS, b"g") + member(b"a")),
        "the headers of the tar are too large",
    ),
    "headers within headers": (
        many(9000, lambda _: member(b"g", kind=b"g")),
        "the headers of the tar are too large",
    ),
    "200,000 files": (
        many(200_000, lambda number: member(b"%d" % number)),
        "the headers of the tar are too large",
    ),
    "long names": (many(400, long_names), "the headers of the tar are too large"),
}


@pytest.mark.parametrize(("write", "message"), TARS.values(), ids=TARS)
def test_a_tar_with_hostile_headers_is_refused(
    tmp_path: Path, write: Callable[[IO[bytes]], object], message: str
) -> None:
    path = tmp_path / "app.tar"
    with path.open("wb") as file:
        write(file)
    done = push(path)
    path.unlink()
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert done.stderr.startswith(f"error: cannot read {path}: {message}")


def layout_of_levels(folder: Path) -> None:
    """An index that lists an index 60 times, and so on: 13 million manifests on four levels."""
    layout = Layout()
    nested = layout.image((b"layer",))
    for _ in range(4):
        nested = layout.index(*[nested] * 60)
    layout.name(nested, "1.0")
    layout.write(folder)


def layout_of_many(folder: Path) -> None:
    """An index of almost 4 MiB: half of its images were not saved."""
    layout = Layout()
    image = layout.image((b"layer",))
    missing = ({**image, "digest": digest_of(b"%d" % number)} for number in range(9_000))
    layout.name(layout.index(*[image] * 9_000, *missing), "1.0")
    layout.write(folder)


def layout_of_objects(folder: Path) -> None:
    """A manifest of 4 MiB with a million objects that nobody needs."""
    layout = Layout()
    body = json.dumps({"x": [{}] * 1_000_000, "manifests": [layout.image((b"layer",))]}).encode()
    layout.name(layout.blob(body, OCI_INDEX), "1.0")
    layout.write(folder)


def layout_of_referrers(folder: Path) -> None:
    """A chain of 4000 signatures, each about the one before it."""
    layout = Layout()
    listed = [layout.image((b"layer",))]
    for _ in range(4000):
        listed.append(layout.image((), subject=listed[-1]))
    layout.listed += reversed(listed)
    layout.write(folder)


def one_configuration(folder: Path) -> None:
    """A `manifest.json` that names a configuration of 4 MB 20,000 times."""
    files = docker_archive((["app:1"], ()))
    (config,) = (name for name in files if len(name) > 20)
    (entry,) = json.loads(files["manifest.json"])
    (folder / "config").write_bytes(files[config] + b" " * 4_000_000)
    listed = [{**entry, "Config": "config", "RepoTags": [f"app:{n}"]} for n in range(20_000)]
    (folder / "manifest.json").write_text(json.dumps(listed))


FOLDERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "an index of indexes": (layout_of_levels, "connection refused"),
    "an index of 18,000": (layout_of_many, "connection refused"),
    "a million objects": (layout_of_objects, "connection refused"),
    "a chain of referrers": (layout_of_referrers, "connection refused"),
    "one configuration for 20,000 images": (one_configuration, "it has too many manifests"),
}


@pytest.mark.parametrize(("build", "message"), FOLDERS.values(), ids=FOLDERS)
def test_a_folder_that_is_small_and_expands_is_read_or_refused(
    tmp_path: Path, build: Callable[[Path], None], message: str
) -> None:
    build(tmp_path)
    done = push(tmp_path)
    assert message in done.stderr
    assert len(done.stderr) < 2000
    assert "memory" not in done.stderr


def full_disk(path: Path, **more: Any) -> None:
    """Push an image where no file may be larger than 100 kB; nothing of it stays behind."""
    temporary = path.parent / "temporary"
    temporary.mkdir()
    done = push(path, limit=(resource.RLIMIT_FSIZE, 100_000), TMPDIR=str(temporary), **more)
    assert list(temporary.iterdir()) == []
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f"error: cannot write a temporary file in {temporary}: File too large",
        "hint: set $TMPDIR to a folder with more space",
    ]


@pytest.mark.parametrize("through", ["gzip", "a pipe"])
def test_a_tar_that_fills_the_folder_for_temporary_files(tmp_path: Path, through: str) -> None:
    data = tar_of(docker_archive((["app:1"], [os.urandom(300_000)])))
    path = tmp_path / "app.tar"
    path.write_bytes(gzip.compress(data) if through == "gzip" else data)
    if through == "gzip":
        full_disk(path)
    else:
        with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as cat:
            full_disk(tmp_path / "-", stdin=cat.stdout)


def test_there_may_be_no_folder_for_temporary_files(tmp_path: Path) -> None:
    """As in a container with a file system that is read-only."""
    path = tmp_path / "app.tar"
    path.write_bytes(gzip.compress(tar_of(docker_archive((["app:1"], [b"layer"])))))
    done = push(path, limit=(resource.RLIMIT_FSIZE, 0))
    message, hint = done.stderr.splitlines()
    assert message.startswith("error: cannot write a temporary file in $TMPDIR: No usable")
    assert hint == "hint: set $TMPDIR to a folder with more space"


def test_a_layer_that_fills_the_folder_for_temporary_files(serve: Servers, tmp_path: Path) -> None:
    has_everything = StandinRegistry(script=lambda _request: Answer())
    path = tmp_path / "app.tar"
    path.write_bytes(tar_of(docker_archive((["app:1"], [os.urandom(300_000)]))))
    full_disk(path, host=serve(standin_registry(has_everything)).host)


def test_a_gzip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer or a whole tar that expands more than 100 times, from 1 GiB on."""
    monkeypatch.setattr(files, "_MIN_EXPANDED_BYTES", 1_000_000)
    archive = docker_archive((["app:1"], [bytes(2_000_000)]))
    whole = tmp_path / "app.tar.gz"
    whole.write_bytes(gzip.compress(tar_of(archive)))
    with pytest.raises(MalformedError, match="expands more than 100 times"), open_archive(whole):
        pass
    (layer,) = (name for name in archive if name.endswith("layer.tar"))
    path = tmp_path / "app.tar"
    path.write_bytes(tar_of({**archive, layer: gzip.compress(archive[layer])}))
    with open_archive(path) as (image,):
        _, bomb = image.manifest.parts
        with (
            pytest.raises(MalformedError, match=f"{layer}: its gzip data expands more than 100"),
            bomb.stored(),
        ):
            pass


@pytest.mark.parametrize(
    "command", ["catalog --long HOST", "tags --long HOST/app", "image inspect HOST/app:1 -o json"]
)
def test_an_image_that_lists_millions_of_layers_is_an_error_of_its_own(
    serve: Servers, command: str
) -> None:
    """An index lists one image 20,000 times, and that one layer 20,000 times."""
    registry = StandinRegistry()
    registry.put_image("app", "2", b"layer")
    document = json.loads(registry.manifests["app"]["2"].body)
    document["layers"] *= 20_000
    digest = registry.put_manifest("app", "1", Manifest(json.dumps(document).encode()))
    listed = {"mediaType": OCI_MANIFEST, "digest": digest, "size": 9}
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [listed] * 20_000}
    registry.put_manifest("app", "1", Manifest(json.dumps(index).encode(), OCI_INDEX))
    host = serve(standin_registry(registry)).host
    limit = (resource.RLIMIT_AS, MEMORY)
    done = run(*command.replace("HOST", host).split(), stdin=subprocess.DEVNULL, limit=limit)
    assert f"cannot read {host}/app:1: it has more than 10000 layers" in done.stderr
    assert "2\t" in done.stdout or "long" not in command, "other images are listed"
