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
from regctl.cli.app import App
from regctl.cli.params import CommandGroup, LazyCommands, noun
from regctl.errors import ClosedPipeError, InvalidInputError, OutputError, RegctlError

INTERRUPTED = 130

COMPLETE = "_REGCTL_COMPLETE"

# Every command of regctl, and the module and function where it is, under its heading in the help.
SECTIONS: dict[str, dict[str, str | CommandGroup]] = {
    "Users of the registry (the auth file)": {
        "adduser": "users:adduser",
        "deluser": "users:deluser",
        "users": "users:users",
        "verify": "users:verify",
        "auth": noun(
            "Keep the auth file: write, check, mend, lock, and bring it to the cluster.",
            write="auth.write:write",
            lock="auth.write:lock",
            unlock="auth.write:unlock",
            expire="auth.write:expire",
            cost="auth.write:cost",
            check="auth.check:check",
            fix="auth.check:fix",
            consumers="auth.check:consumers",
            push="auth.push:push",
            pull="auth.push:pull",
            diff="auth.push:diff",
        ),
    },
    "Pull secrets in the cluster": {
        "secret": noun(
            "Pull secrets: the registry's password in every namespace that pulls from it.",
            create="secret.create:create",
            diff="secret.create:diff",
            list="secret.create:list_",
            check="secret.check:check",
            delete="secret.create:delete",
            sync="secret.sync:sync",
        ),
        "rotate": "rotate:rotate",
    },
    "The registry and its images": {
        "library": noun(
            "A whole registry in a namespace of its own.",
            render="registry.apply:render",
            apply="registry.apply:apply",
            list="registry.apply:list_",
            delete="registry.apply:delete",
        ),
        "catalog": "catalog:catalog",
        "tags": "tags:tags",
        "ping": "ping:ping",
        "login": "login:login",
        "logout": "login:logout",
        "image": noun(
            "One image: look at it, upload it, name it, delete it, and prune old ones.",
            inspect="image.inspect:inspect",
            push="image.push:push",
            tag="image.inspect:tag",
            delete="image.inspect:delete",
            prune="image.prune:prune",
        ),
    },
    "The whole": {
        "doctor": "doctor:doctor",
        "rbac": "rbac:rbac",
        "completion": "completion:completion",
    },
}


class Root(CommandGroup):
    """The group `regctl`, and the error boundary around every command."""

    group_class = CommandGroup

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by what they are about."""
        for heading, names in SECTIONS.items():
            self.write_section(formatter, heading, names)

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
            from regctl.cli.shell_completion import register

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
    commands=LazyCommands(
        {name: at for section in SECTIONS.values() for name, at in section.items()}
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
@click.version_option(__version__, "--version", message="%(prog)s %(version)s")
def main() -> None:
    """Run a private Docker registry on Kubernetes: its users, pull secrets and catalog."""
