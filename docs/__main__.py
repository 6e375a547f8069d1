"""`python -m docs`, by `make docs`: write the generated files. A test compares them."""

from pathlib import Path

from docs import commands, readers
from regctl.cli.commands.completion import SCRIPTS

ROOT = Path(__file__).parent.parent
COMPLETIONS = {"bash": "regctl.bash", "zsh": "_regctl", "fish": "regctl.fish"}


def files() -> dict[Path, str]:
    """Return the content of each generated file."""
    scripts = {ROOT / "completions" / COMPLETIONS[shell]: text for shell, text in SCRIPTS.items()}
    return {
        ROOT / "docs" / "commands.md": commands.document(),
        ROOT / "docs" / "readers.md": readers.document(),
        **scripts,
    }


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content)
