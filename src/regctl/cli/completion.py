"""`regctl completion SHELL`."""

import click

from regctl.cli._app import App, pass_app
from regctl.cli._options import Command

SHELLS = ("bash", "zsh", "fish")


@click.command(
    cls=Command,
    examples=[
        "regctl completion bash > ~/.local/share/bash-completion/completions/regctl",
        "regctl completion zsh > ~/.zfunc/_regctl",
        "regctl completion fish > ~/.config/fish/completions/regctl.fish",
    ],
)
@click.argument("shell", type=click.Choice(SHELLS))
@pass_app
@click.pass_context
def completion(ctx: click.Context, app: App, shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    if complete is None:  # pragma: no cover - the choice above is made of click's own names
        raise click.BadParameter(shell)
    root = ctx.find_root().command
    # The template alone: click's source() starts bash to learn its version.
    script = complete(root, {}, "regctl", "_REGCTL_COMPLETE")
    app.output.line((script.source_template % script.source_vars()).strip())
