"""`python -m docs`, by `make docs`: write the generated files. A test compares them."""

from pathlib import Path

from docs import commands, readers

DOCS = Path(__file__).parent


def files() -> dict[Path, str]:
    """Return the content of each generated file."""
    return {
        DOCS / "commands.md": commands.document(),
        DOCS / "readers.md": readers.document(),
    }


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content)
