"""The direction of imports, the owners of third-party packages, and what the library never does."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import distribution
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "regctl"

GROUND = {
    "errors",
    "outcome",
    "checks",
    "parallel",
    "retry",
    "atomicfile",
    "filelock",
    "reference",
    "documents",
    "jsontext",
    "redaction",
    "connection",
    "exchange",
    "wording",
}

# What each package may import besides the ground, which knows none of them.
PACKAGES: dict[str, set[str]] = {
    "authfile": set(),
    "credentials": set(),
    "cluster": set(),
    "authsecret": {"authfile", "cluster"},
    "registry": {"credentials"},
    "pullsecrets": {"credentials", "cluster"},
    "images": {"registry"},
}
LIBRARY = set(PACKAGES)
PACKAGES |= {
    "workflows": LIBRARY,
    "provisioning": LIBRARY,
    "cli": LIBRARY | {"workflows", "provisioning"},
}

OWNERS = {
    "bcrypt": {"authfile.hashes"},
    "passlib": {"authfile.hashes"},
    "requests": {"registry.transport"},
    "kubernetes": {"cluster.plugins"},
    "urllib3": {
        "exchange",
        "cluster.client",
        "cluster.connection",
        "cluster.kubeconfig",
        "registry.transport",
        "registry.urls",
    },
    "yaml": {"documents"},
    "rich": {"cli.terminal"},
    "click": {"cli"},
}

# Where errors become words and exit codes.
BOUNDARY = "cli.main"

ENVIRONMENT = {
    "sys.argv",
    "sys.exit",
    "sys.stdout",
    "sys.stderr",
    "os.environ",
    "os.getenv",
    "os._exit",
}


@cache
def trees() -> dict[str, ast.Module]:
    """Every module of regctl by its name below `regctl`, parsed."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts).removesuffix("__init__").removesuffix(".")
        found[name] = ast.parse(path.read_text(), str(path))
    return {name: tree for name, tree in found.items() if name not in {"", "__main__"}}


def imported(module: str) -> Iterator[str]:
    """Every module named in an import statement of *module*, wherever it is in the file."""
    for node in ast.walk(trees()[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            base = node.module or ""
            for alias in node.names:
                name = f"{base}.{alias.name}"
                yield name if name.removeprefix("regctl.") in trees() else base


def own_imports(module: str) -> set[str]:
    """The modules of regctl that *module* imports, also for type checking only."""
    names = {name.removeprefix("regctl.") for name in imported(module) if "regctl." in name}
    return names & trees().keys()


def package_of(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def test_packages_import_only_what_is_below_them() -> None:
    unplaced = {package_of(module) for module in trees()} - GROUND - PACKAGES.keys()
    assert not unplaced, f"give {unplaced} a row in PACKAGES"
    wrong = [
        f"{module} imports {name}"
        for module in trees()
        for name in sorted(own_imports(module))
        if (package := package_of(name)) not in GROUND | {package_of(module)}
        and package not in PACKAGES.get(package_of(module), ())
    ]
    assert not wrong, wrong


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        TopologicalSorter({module: own_imports(module) for module in trees()}).prepare()
    except CycleError as error:
        raise AssertionError(f"a circle of imports: {error.args[1]}") from None


def test_each_third_party_package_has_one_owner() -> None:
    for module in trees():
        for name in imported(module):
            package = name.split(".", maxsplit=1)[0]
            if package == "regctl" or package in sys.stdlib_module_names:
                continue
            owners = OWNERS.get(package)
            assert owners, f"{package}, imported by {module}, has no owner: name one here"
            assert any(module == owner or module.startswith(f"{owner}.") for owner in owners), (
                f"{module} imports {package}, which belongs to {owners}"
            )


def test_the_library_never_uses_terminal_process_or_environment() -> None:
    for module, tree in trees().items():
        if package_of(module) == "cli":
            continue
        for node in ast.walk(tree):
            where = f"{module}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"print", "input", "exit"}, where
            if isinstance(node, ast.Attribute):
                assert ast.unparse(node) not in ENVIRONMENT, where


def test_errors_become_exit_codes_in_one_place_only() -> None:
    """
    No broad except, no exit and no ClickException outside the error boundary.

    A listing that any error ends is completed before it reaches the boundary.
    """
    for module, tree in trees().items():
        for node in ast.walk(tree):
            where = f"{module}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                assert caught not in {"BaseException", "everything"}, where
                assert caught != "Exception" or module in {BOUNDARY, "cli.output"}, where
            if module != BOUNDARY and isinstance(node, ast.Attribute):
                assert ast.unparse(node) not in {"sys.exit", "click.ClickException"}, where


def test_each_dependency_is_imported_and_each_import_is_declared() -> None:
    """A package that only another one requires may go, or come in a release that does not do."""
    roots = {name.partition(".")[0] for module in trees() for name in imported(module)}
    foreign = roots - sys.stdlib_module_names - {"regctl"}
    project = SOURCE.parent.parent / "pyproject.toml"
    listed = project.read_text().partition("\ndependencies = [")[2].partition("\n]")[0]
    for name in re.findall(r'^ *"([A-Za-z0-9_.-]+)', listed, re.MULTILINE):
        provided = {path.parts[0] for path in distribution(name).files or ()} & foreign
        assert provided, f"{name} is declared, and nothing imports it"
        foreign -= provided
    assert not foreign, f"{foreign} are imported and not declared"
