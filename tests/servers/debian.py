"""Packages of Debian and its relatives, and kube-apiserver 1.20 from Debian 12's source package."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers.building import BuildError, build_folder, run, say
from tests.servers.programs import PROGRAMS, Program, cache_folder

_POLICY = Path("/usr/sbin/policy-rc.d")
_UNITS = Path("/lib/systemd/system")
_SOURCES = Path("/etc/apt")
_INSTALLED_LIBRARIES = Path("/usr/share/gocode/src")
_BUILD_PACKAGES = (
    "golang-go",
    "golang-github-modern-go-reflect2-dev",
    "golang-github-json-iterator-go-dev",
    "golang-github-modern-go-concurrent-dev",
    "dpkg-dev",
    "rsync",
    "make",
    "jq",
)
# The vendored copies are older than Go 1.19 likes: the server panics on Secrets.
_REPLACED = ("github.com/modern-go/reflect2", "github.com/json-iterator/go")


def install_packages(missing: Sequence[Program]) -> None:
    """Install the packages of the missing programs."""
    packages = [program.package for program in missing if program.package]
    if not packages:
        return
    if not _can_install():
        say(f"only root can install packages: apt-get install {' '.join(packages)}")
        return
    say(f"installing {' '.join(packages)}")
    try:
        _install(packages)
    except BuildError as error:
        say(f"cannot install {' '.join(packages)}: {error}")


def build_from_source(missing: Sequence[Program]) -> None:
    """Build kube-apiserver 1.20: Debian 12's source package has it, later ones do not."""
    api_server = PROGRAMS["kube-apiserver"]
    if api_server not in missing or not _can_install():
        return
    try:
        with build_folder() as folder:
            source = _download(folder)
            if not source.name.startswith(f"kubernetes_{api_server.oldest}."):
                say(f"Debian's source package {source.name} has no kube-apiserver")
                return
            say("building kube-apiserver from Debian's source: once, about 5 minutes on 2 cores")
            _install(_BUILD_PACKAGES)
            _build(source, folder)
    except BuildError as error:
        say(f"cannot build kube-apiserver from Debian's source: {error}")


def _can_install() -> bool:
    if not shutil.which("apt-get"):
        return False
    try:
        _as_root(["true"])
    except BuildError:
        return False
    return True


def _as_root(command: Sequence[str]) -> str:
    return run(command if os.geteuid() == 0 else ["sudo", "-n", *command])


def _install(packages: Sequence[str]) -> None:
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300"]
    _as_root([*apt, "update"])
    with _no_services():
        _as_root([*apt, "--yes", "--no-install-recommends", "install", *packages])


@contextmanager
def _no_services() -> Iterator[None]:
    """Start none of the services that packages bring, neither now nor with the machine."""
    before = _services()
    is_ours = not _POLICY.exists()
    if is_ours:
        _as_root(["sh", "-c", f"printf '#!/bin/sh\\nexit 101\\n' >{_POLICY}; chmod 755 {_POLICY}"])
    try:
        yield
    finally:
        if is_ours:
            _as_root(["rm", "-f", str(_POLICY)])
        brought = sorted(_services() - before)
        if brought and shutil.which("systemctl"):
            _as_root(["systemctl", "--quiet", "disable", *brought])


def _services() -> set[str]:
    return {path.name for path in _UNITS.glob("*.service") if "@" not in path.name}


def _download(folder: Path) -> Path:
    """Download Debian's source package of Kubernetes; return its .dsc file."""
    _write_source_lists(folder / "lists")
    (folder / "state" / "partial").mkdir(parents=True)
    apt = ["apt-get", "-o", "Dir::Etc::SourceList=/dev/null", "-o", "APT::Sandbox::User=root"]
    apt += ["-o", f"Dir::Etc::SourceParts={folder / 'lists'}"]
    apt += ["-o", f"Dir::State::Lists={folder / 'state'}"]
    run([*apt, "update"])
    run([*apt, "source", "--download-only", "kubernetes"], folder=folder)
    return next(folder.glob("kubernetes_*.dsc"))


def _write_source_lists(folder: Path) -> None:
    """Write apt's lists with `deb-src` for `deb`, so that the machine's own stay as they are."""
    folder.mkdir()
    parts = _SOURCES / "sources.list.d"
    for file in (_SOURCES / "sources.list", *parts.glob("*.list"), *parts.glob("*.sources")):
        if not file.exists():
            continue
        if file.suffix == ".sources":
            lines = re.sub(r"(?m)^Types:.*", "Types: deb-src", file.read_text())
        else:
            lines = "\n".join(re.findall(r"(?m)^deb( .*)$", file.read_text()))
            lines = re.sub(r"(?m)^ ", "deb-src ", lines)
        (folder / file.name).write_text(f"{lines}\n")


def _build(source: Path, folder: Path) -> None:
    tree = folder / "tree"
    run(["dpkg-source", "--no-check", "-x", str(source), str(tree)])
    version = run(["dpkg-parsechangelog", "-l", str(tree / "debian/changelog"), "-S", "Version"])
    for module in _REPLACED:
        vendored = tree / "vendor" / module
        shutil.rmtree(vendored)
        ignore = shutil.ignore_patterns("*_test.go")
        shutil.copytree(_INSTALLED_LIBRARIES / module, vendored, ignore=ignore)
    go_path = tree / ".go"
    place = go_path / "src/k8s.io/kubernetes"
    place.parent.mkdir(parents=True)
    place.symlink_to(tree)
    run(
        ["make", "WHAT=cmd/kube-apiserver", "GOLDFLAGS=-s -w"],
        folder=place,
        env={
            "GO111MODULE": "off",
            "GOPATH": str(go_path),
            "GOCACHE": str(folder / "objects"),
            "GOFLAGS": "",
            "CGO_ENABLED": "0",
            "GOTOOLCHAIN": "local",
            "PATH": f"/usr/lib/go/bin:{os.environ['PATH']}",
            "PWD": str(place),
        },
    )
    built = tree / "_output/bin/kube-apiserver"
    built.rename(cache_folder() / f"kube-apiserver-{version.strip()}")
