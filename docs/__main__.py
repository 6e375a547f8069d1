"""`python -m docs`, by `make docs`: write what is generated; a test compares it with the code."""

from collections.abc import Iterator
from pathlib import Path

import click

from docs import readers
from regctl.cli.command import Command
from regctl.cli.commands.completion import SCRIPTS
from regctl.cli.main import SECTIONS, main

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- commands: made by `make docs` -->\n", "<!-- end of commands -->\n"


def leaves(command: click.Command, path: str) -> Iterator[tuple[str, Command]]:
    """Yield every command below *command* with the words that call it."""
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from leaves(child, f"{path} {name}")
    elif isinstance(command, Command):
        yield path, command


def commands() -> str:
    """Return the README's chapter on the commands: a table for each heading of `regctl --help`."""
    lines = ["\n## Commands\n\nEvery command has `--help` with its options and more examples.\n"]
    for heading, members in SECTIONS.items():
        lines.append(f"\n### {heading}\n\n| command | does | for example |\n| --- | --- | --- |\n")
        for name in members:
            for path, command in leaves(main.commands[name], f"regctl {name}"):
                does = command.get_short_help_str(limit=200).removesuffix(".")
                example = command.examples[0].replace("|", "\\|")
                lines.append(f"| `{path}` | {does} | `{example}` |\n")
    return "".join(lines) + "\n"


def files() -> dict[Path, str]:
    """Return what each generated file is to hold."""
    readme = README.read_text()
    head, tail = readme.partition(BEGIN)[0], readme.partition(END)[2]
    named = {"bash": "regctl.bash", "zsh": "_regctl", "fish": "regctl.fish"}
    scripts = {ROOT / "completions" / named[shell]: script for shell, script in SCRIPTS.items()}
    return {
        README: f"{head}{BEGIN}{commands()}{END}{tail}",
        ROOT / "docs" / "readers.md": readers.document(),
        **scripts,
    }


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content)
