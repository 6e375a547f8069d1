"""`regctl completion SHELL`: the scripts are in `cli/completions`."""

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command

FILES = {"bash": "regctl.bash", "zsh": "_regctl", "fish": "regctl.fish"}


@click.command(
    cls=Command,
    examples=[
        "regctl completion bash > ~/.local/share/bash-completion/completions/regctl",
        "regctl completion zsh > ~/.zfunc/_regctl",
        "regctl completion fish > ~/.config/fish/completions/regctl.fish",
    ],
)
@click.argument("shell", type=click.Choice(list(FILES)))
@pass_app
def completion(app: App, shell: str) -> None:
    """Print the completion script of a shell."""
    from pathlib import Path

    app.output.write((Path(__file__).parents[1] / "completions" / FILES[shell]).read_text())
