"""The built wheel and sdist: they have the right files, and a build can be reproduced."""

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from docs.man import pages
from regctl import __version__
from tests.servers.programs import find

ROOT = Path(__file__).parent.parent
COMPLETIONS = {
    "share/bash-completion/completions/regctl",
    "share/zsh/site-functions/_regctl",
    "share/fish/vendor_completions.d/regctl.fish",
}


def built(folder: Path) -> tuple[Path, Path]:
    """Build the sdist and the wheel with the installed build tool."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return built(tmp_path_factory.mktemp("dist"))


def tracked(*paths: str) -> set[str]:
    """The files of the repository, which a clone or an sdist has."""
    if not (ROOT / ".git").exists():
        pytest.skip("only a git clone lists its files")
    command = [find("git"), "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    command += ["--cached", "--others", "--exclude-standard", *paths]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}


def test_the_wheel_has_the_package_completions_and_man_pages(
    packages: tuple[Path, Path],
) -> None:
    names = set(zipfile.ZipFile(packages[1]).namelist())
    data, info = f"regctl-{__version__}.data/data/", f"regctl-{__version__}.dist-info/"
    shared = {name.removeprefix(data) for name in names if name.startswith(data)}
    assert shared == COMPLETIONS | {f"share/man/man1/{name}" for name in pages()}
    package = {name for name in names if name.startswith("regctl/")}
    assert package == {name.removeprefix("src/") for name in tracked("src")}
    rest = {name for name in names if not name.startswith((data, "regctl/"))}
    assert {name.removeprefix(info) for name in rest} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
    }


def test_the_sdist_has_everything_to_test_and_build(packages: tuple[Path, Path]) -> None:
    with tarfile.open(packages[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names == tracked() - tracked(".ci") | {"PKG-INFO"}


def test_a_build_can_be_reproduced(packages: tuple[Path, Path], tmp_path: Path) -> None:
    for first, second in zip(packages, built(tmp_path), strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name


def test_the_installed_wheel_runs_and_prints_its_version(
    packages: tuple[Path, Path], tmp_path: Path
) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(tmp_path), str(packages[1])], check=True)
    run = subprocess.run(
        [sys.executable, "-m", "regctl", "--version"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    name = re.fullmatch(r"regctl-(.+)-py3-none-any\.whl", packages[1].name)
    assert name
    assert run.stdout == f"regctl {name[1]}\n"


@pytest.mark.parametrize("name", pages())
def test_groff_accepts_the_man_pages(name: str, program: Callable[[str], str]) -> None:
    """They are rendered without a warning, with their name."""
    run = subprocess.run(
        [program("groff"), "-man", "-Tascii", "-ww", "-P-cbou"],
        input=pages()[name],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
    assert name.removesuffix(".1") in run.stdout
