"""`regctl completion SHELL`."""

import click

from regctl.cli._app import App, pass_app
from regctl.cli._command import Command

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
    app.output.write(script(ctx.find_root().command, shell))


def script(root: click.Command, shell: str) -> str:
    """Return the completion script of one of SHELLS for the command *root*."""
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    if complete is None:
        raise click.BadParameter(f"no completion for {shell}")
    made = complete(root, {}, "regctl", "_REGCTL_COMPLETE")
    # The template alone: click's source() starts bash to learn its version.
    return (made.source_template % made.source_vars()).strip() + "\n"
