"""
The command line: the group of all commands, and the one place where errors become exit codes.

Exit codes: 0 done · 1 failed or a difference · 2 usage · 3 partly done · 4 not authenticated or
not permitted · 130 interrupted. A reader that closes the pipe ends regctl as it ends any other
program: silently, with 141 (128 + SIGPIPE).
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, cast

import click

from regctl import __version__
from regctl.cli._app import App
from regctl.cli._command import Noun
from regctl.cli.auth import auth
from regctl.cli.authsecret import diff, pull, push
from regctl.cli.catalog import catalog
from regctl.cli.completion import completion
from regctl.cli.consumers import check, consumers, fix
from regctl.cli.rbac import rbac
from regctl.cli.secret import secret
from regctl.cli.secretcheck import check as check_secrets
from regctl.cli.secretsync import sync
from regctl.cli.users import adduser, deluser, users, verify
from regctl.errors import ClosedPipeError, InvalidInputError, OutputError, RegctlError

INTERRUPTED = 130

COMPLETE = "_REGCTL_COMPLETE"

# Every command of regctl under the heading that its help has in `regctl --help`.
SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Users of the registry (the auth file)": (adduser, deluser, users, verify, auth),
    "Pull secrets in the cluster": (secret,),
    "The registry and its images": (catalog,),
    "The whole": (rbac, completion),
}


class Root(Noun):
    """The group `regctl`, and the error boundary around every command."""

    group_class = Noun

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by what they are about."""
        for heading, commands in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [
                        (command.name or "", command.get_short_help_str(formatter.width))
                        for command in commands
                    ]
                )

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line; in standalone mode end the process with the exit code it earned."""
        app = extra.setdefault("obj", App())
        complete_var = complete_var or COMPLETE
        if COMPLETE in app.environ:
            from regctl.cli._complete import register

            register()

        def run() -> Any:
            return super(Root, self).main(
                args, prog_name, complete_var, standalone_mode=False, **extra
            )

        if not standalone_mode:
            return run()
        sys.exit(_exit_code(app, run))


def _exit_code(app: App, run: Callable[[], Any]) -> int:
    """Run a command and return what its process ends with."""
    try:
        code = _reported(app, run)
        app.output.flush()
    except OutputError as error:
        app.output.error(error)
        _abandon_stdout()
        return error.exit_code
    except ClosedPipeError as error:
        _abandon_stdout()
        return error.exit_code
    return code


def _reported(app: App, run: Callable[[], Any]) -> int:
    """Run a command; turn the error that ends it into words and its exit code."""
    try:
        code = run()
    except (OutputError, ClosedPipeError):
        raise
    except RegctlError as error:
        app.output.failure(error)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        usage = _UsageError(error)
        app.output.failure(usage)
        return usage.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return INTERRUPTED
    return code if isinstance(code, int) else 0


class _UsageError(InvalidInputError):
    """What click says of a command line, in our words and places."""

    def __init__(self, error: click.ClickException) -> None:
        context = getattr(error, "ctx", None)
        hint = f"`{context.command_path} --help` shows how" if context else None
        super().__init__(_one_sentence(error.format_message()), hint=hint)


def _one_sentence(message: str) -> str:
    text = " ".join(message.split())
    return (text[:1].lower() + text[1:]).removesuffix(".")


def _abandon_stdout() -> None:
    """Let the interpreter's last flush go nowhere: the reader is gone."""
    if cast("object", sys.stdout) is None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@click.group(
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
@click.version_option(__version__, "--version", message="%(prog)s %(version)s")
def main() -> None:
    """Run a private Docker registry on Kubernetes: its users, pull secrets and catalog."""


for _of_auth in (check, fix, consumers, push, pull, diff):
    auth.add_command(_of_auth)

for _of_secret in (check_secrets, sync):
    secret.add_command(_of_secret)

for _commands in SECTIONS.values():
    for _command in _commands:
        main.add_command(_command)
