"""
The real programs that the tests run: their versions, where each one comes from, and where it is.

`python -m tests.servers.install` gets what is missing. This module does not know pytest, because
the demo and the benchmarks use it too.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MODULES = Path(__file__).parent / "modules"
_VERSION = re.compile(r"v?(\d+)\.(\d+)[\w.+~-]*")
# Read at the first import, because tests replace HOME.
_HOME = Path.home()


class MissingServerError(Exception):
    """A program is not installed; the message names the command that installs it."""


@dataclass(frozen=True)
class GoModule:
    """A folder of `modules` whose go.mod pins a program, and how to build the program."""

    folder: str
    main: str
    """The Go package of the program; "." is a program of our own."""
    seconds: int
    """How long the build took on 2 cores, without downloads, after the builds before it."""
    ldflags: str = ""

    @property
    def folder_path(self) -> Path:
        """The folder with go.mod."""
        return MODULES / self.folder

    @property
    def version(self) -> str:
        """The pinned version, such as v1.37.2; of a program of our own the hash of its sources."""
        if self.main == ".":
            parts = [self.folder_path / name for name in ("main.go", "go.sum")]
            source = b"".join(part.read_bytes() for part in parts if part.exists())
            return hashlib.sha256(source).hexdigest()[:8]
        go_mod = (self.folder_path / "go.mod").read_text()
        for pin in re.finditer(r"^(?:require)?\s+(\S+) (v\S+)", go_mod, re.MULTILINE):
            if f"{self.main}/".startswith(f"{pin[1]}/"):
                return pin[2]
        raise ValueError(f"{self.folder}/go.mod does not pin {self.main}")


@dataclass(frozen=True)
class Program:
    """One program; what has neither a module nor a package is in the test dependencies."""

    name: str
    package: str = ""
    """Debian's package."""
    module: GoModule | None = None
    debian_name: str = ""
    minimum: tuple[int, int] = (0, 0)
    """The oldest version on PATH that is used instead of the pinned one."""
    oldest: str = ""
    """How the version starts that REGCTL_TEST_SERVERS=oldest asks for."""
    version_argument: str = "--version"


_KUBERNETES_VERSION = (
    "-X k8s.io/component-base/version.gitVersion={version} "
    "-X k8s.io/component-base/version.gitMajor={major} "
    "-X k8s.io/component-base/version.gitMinor={minor}"
)
_CONTAINERD = "github.com/containerd/containerd/v2"
_CONTAINERD_VERSION = f"-X {_CONTAINERD}/version.Version={{version}}"
_DISTRIBUTION = "github.com/distribution/distribution/v3"
_CRANE = "github.com/google/go-containerregistry/cmd/crane"

# In the order of their builds. zot is not here: the public Go module proxy does not have it.
_ALL = (
    Program(
        "kube-apiserver",
        module=GoModule(
            "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", 210, _KUBERNETES_VERSION
        ),
        minimum=(1, 35),
        oldest="1.20",
    ),
    Program(
        "kubelet",
        module=GoModule("kubernetes", "k8s.io/kubernetes/cmd/kubelet", 60, _KUBERNETES_VERSION),
        minimum=(1, 35),
    ),
    Program(
        "etcd",
        package="etcd-server",
        module=GoModule("etcd", "go.etcd.io/etcd/server/v3", 30),
        minimum=(3, 5),
        oldest="3.4",
    ),
    Program(
        "containerd",
        module=GoModule("containerd", f"{_CONTAINERD}/cmd/containerd", 45, _CONTAINERD_VERSION),
        minimum=(2, 0),
    ),
    Program(
        "containerd-shim-runc-v2",
        module=GoModule(
            "containerd", f"{_CONTAINERD}/cmd/containerd-shim-runc-v2", 10, _CONTAINERD_VERSION
        ),
        minimum=(2, 0),
        version_argument="-v",
    ),
    Program(
        "ctr",
        module=GoModule("containerd", f"{_CONTAINERD}/cmd/ctr", 10, _CONTAINERD_VERSION),
        minimum=(2, 0),
    ),
    Program(
        "registry",
        package="docker-registry",
        module=GoModule(
            "distribution",
            f"{_DISTRIBUTION}/cmd/registry",
            60,
            f"-X {_DISTRIBUTION}/version.version={{version}}",
        ),
        debian_name="docker-registry",
        minimum=(3, 0),
        oldest="2.8",
    ),
    Program(
        "crane",
        module=GoModule("crane", _CRANE, 15, f"-X {_CRANE}/cmd.Version={{version}}"),
        minimum=(0, 20),
        version_argument="version",
    ),
    Program("olareg", module=GoModule("olareg", "github.com/olareg/olareg/cmd/olareg", 5)),
    Program("keyring", module=GoModule("keyring", ".", 60)),
    Program("pause", module=GoModule("pause", ".", 5)),
    Program("htpasswd", package="apache2-utils"),
    Program("apache2", package="apache2", version_argument="-v"),
    Program("nginx", package="nginx-light", version_argument="-v"),
    Program("haproxy", package="haproxy", version_argument="-v"),
    Program("caddy", package="caddy", version_argument="version"),
    Program("skopeo", package="skopeo"),
    Program("runc", package="runc"),
    Program("ip", package="iproute2", version_argument="-V"),
    Program("openssl", package="openssl", version_argument="version"),
    Program("zsh", package="zsh"),
    Program("fish", package="fish"),
    Program("groff", package="groff-base"),
    Program("ps", package="procps"),
    Program("git", package="git"),
    Program("kubectl", version_argument="version"),
)
PROGRAMS = {program.name: program for program in _ALL}


def wants_oldest() -> bool:
    """Return whether the tests run against the oldest supported versions."""
    return os.environ.get("REGCTL_TEST_SERVERS") == "oldest"


def cache_folder() -> Path:
    """Return the folder of the programs that we built, each named NAME-VERSION."""
    if given := os.environ.get("REGCTL_TEST_CACHE"):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or str(_HOME / ".cache")
    return Path(base) / "regctl-test-servers"


def find(name: str) -> str:
    """
    Return the path of a program.

    The order: envtest's folder, the cache, this environment, PATH. A version that is older than
    the program's minimum comes last. Raises MissingServerError.
    """
    program = PROGRAMS.get(name) or Program(name)
    if found := _given(program) or next(iter(_found(program)), None):
        return found
    raise MissingServerError(_how_to_get(program))


def is_current(program: Program) -> bool:
    """Return whether `find` returns the version that is asked for, or a newer one."""
    if found := _given(program) or next(iter(_found(program)), None):
        return (wants_oldest() and bool(program.oldest)) or not _is_old(program, found)
    return False


def version_of(name: str) -> tuple[int, int]:
    """Return the major and minor version of the program that `find` returns."""
    program = PROGRAMS[name]
    match = _VERSION.search(_version(program, find(name)))
    if match is None:
        raise ValueError(f"{name} does not tell its version")
    return int(match[1]), int(match[2])


def describe(name: str) -> str:
    """Return the name and version of the program that `find` returns: `etcd v3.7.3`."""
    return f"{name} {_version(PROGRAMS[name], find(name))}".strip()


def _given(program: Program) -> str | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    return shutil.which(program.name, path=assets) if assets and not wants_oldest() else None


def _found(program: Program) -> list[str]:
    """Return where a program is, the best first."""
    if wants_oldest() and program.oldest:
        return [path for path in _places(program) if _is_oldest(program, path)]
    return sorted(_places(program), key=lambda path: _is_old(program, path))


def _places(program: Program) -> Iterator[str]:
    if program.module:
        pinned = cache_folder() / f"{program.name}-{program.module.version}"
        if pinned.is_file():
            yield str(pinned)
    if program.oldest:
        yield from map(str, cache_folder().glob(f"{program.name}-{program.oldest}*"))
    environment = str(Path(sys.executable).parent)
    folders = os.pathsep.join([environment, os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    for name in filter(None, (program.name, program.debian_name)):
        if installed := shutil.which(name, path=folders):
            yield installed


def _is_old(program: Program, path: str) -> bool:
    if program.minimum == (0, 0):
        return False
    match = _VERSION.search(_version(program, path))
    return match is None or (int(match[1]), int(match[2])) < program.minimum


def _is_oldest(program: Program, path: str) -> bool:
    return _version(program, path).lstrip("v").startswith(program.oldest)


@cache
def _version(program: Program, path: str) -> str:
    if Path(path).parent == cache_folder():
        return Path(path).name.removeprefix(f"{program.name}-")
    command = [path, program.version_argument]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    match = _VERSION.search(shown.stdout + shown.stderr)
    return match[0] if match else ""


def _how_to_get(program: Program) -> str:
    if wants_oldest() and program.oldest:
        return (
            f"{program.name} {program.oldest} is not installed: run `make test-oldest` on Debian 12"
        )
    way = f", or as root `apt-get install {program.package}`" if program.package else ""
    if program.name in {"kube-apiserver", "etcd"}:
        way += ", or set KUBEBUILDER_ASSETS to envtest's folder"
    return f"{program.name} is not installed: run `make test-servers`{way}"
