"""The direction of imports, the owners of third-party packages, and what the library never does."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "regctl"

# A module imports from the rows above its own, never from its own row or from below.
TIERS: list[set[str]] = [
    {"errors"},
    {
        "reference",
        "atomicfile",
        "exchange",
        "documents",
        "parallel",
        "ownership",
        "rbac",
        "challenges",
        "manifests",
        "pagination",
    },
    {"hashes", "credentials", "apistatus", "kubeconfig", "schema", "transport", "applied"},
    {
        "dockerconfig",
        "htpasswd",
        "keyring",
        "consumers",
        "authentication",
        "refusals",
        "harbor",
        "cluster",
    },
    {"registry", "targets", "serviceaccounts", "userlist", "audit", "repair", "archive"},
    {"pullsecrets", "images", "diagnosis", "upload", "library"},
    {"retention"},
    {"rollout", "authsecret"},
    {"inventory"},
    {"secretcheck", "syncfile", "installation", "libraries"},
    {"rotation", "pull", "doctor"},
    {"cli"},
]

OWNERS = {
    "bcrypt": {"hashes"},
    "passlib": {"hashes"},
    "requests": {"transport"},
    "kubernetes": {"kubeconfig"},
    "urllib3": {"cluster", "kubeconfig", "transport"},
    "yaml": {"documents"},
    "rich": {"cli._output"},
    "click": {"cli"},
}


def modules() -> list[str]:
    paths = (path.relative_to(SOURCE).with_suffix("") for path in SOURCE.rglob("*.py"))
    names = (".".join(path.parts).removesuffix(".__init__") for path in paths)
    return sorted(name for name in names if name not in {"__init__", "__main__"})


def tree_of(module: str) -> ast.Module:
    path = SOURCE.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(), str(file))


def imported(module: str) -> Iterator[str]:
    """Every module named in an import statement of *module*, wherever it stands in the file."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            base = node.module or ""
            if base in {"regctl", "regctl.cli"}:
                yield from (f"{base}.{alias.name}" for alias in node.names)
            else:
                yield base


def tier(module: str) -> int:
    name = module.split(".", maxsplit=1)[0]
    for number, names in enumerate(TIERS):
        if name in names:
            return number
    pytest.fail(f"src/regctl/{name}.py has no place in the order of imports: give it one here")


@pytest.mark.parametrize("module", modules())
def test_imports_run_one_way(module: str) -> None:
    own = [name.removeprefix("regctl.") for name in imported(module) if name.startswith("regctl.")]
    upward = [
        name
        for name in own
        if name != "__version__"
        and not (module.startswith("cli") and name.startswith("cli"))
        and tier(name) >= tier(module)
    ]
    assert not upward, f"{module} must not import {upward}"


@pytest.mark.parametrize("module", modules())
def test_each_third_party_package_has_one_owner(module: str) -> None:
    for name in imported(module):
        package = name.split(".", maxsplit=1)[0]
        if package == "regctl" or package in sys.stdlib_module_names:
            continue
        owners = OWNERS.get(package)
        assert owners, f"{package}, imported by {module}, has no owner: name one here"
        assert any(module == owner or module.startswith(f"{owner}.") for owner in owners), (
            f"{module} imports {package}, which belongs to {owners}"
        )


@pytest.mark.parametrize("module", [name for name in modules() if not name.startswith("cli")])
def test_the_library_leaves_terminal_process_and_environment_alone(module: str) -> None:
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"print", "input", "exit"}, f"{module}:{node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            assert name not in {
                "sys.argv",
                "sys.exit",
                "sys.stdout",
                "sys.stderr",
                "os.environ",
                "os.getenv",
                "os._exit",
            }, f"{module}:{node.lineno}: {name}"


@pytest.mark.parametrize("module", modules())
def test_errors_become_exit_codes_in_one_place_only(module: str) -> None:
    """No broad except, no exit and no ClickException outside the error boundary."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            assert caught not in {"Exception", "BaseException", "everything"}, (
                f"{module}:{node.lineno} catches {caught}"
            )
        if module != "cli" and isinstance(node, ast.Attribute):
            assert ast.unparse(node) not in {"sys.exit", "click.ClickException"}, (
                f"{module}:{node.lineno}"
            )
