"""
The command line: the group of all commands, and the one place where errors become exit codes.

Exit codes: 0 done · 1 failed or a difference · 2 usage · 3 partly done · 4 not authenticated or
not permitted · 130 interrupted · 143 and 129 terminated by SIGTERM and SIGHUP. A reader that closes
the pipe ends regctl as it ends any other program: silently, with 141 (128 + SIGPIPE).
"""

import functools
import io
import itertools
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, cast

import click

from regctl import __version__
from regctl.cli.app import App
from regctl.cli.command import CommandGroup, LazyCommands, command_group
from regctl.cli.errors import (
    ClosedPipeError,
    DefectError,
    StdoutError,
    TerminatedError,
    as_failure,
    traceback_lines,
)
from regctl.cli.habits import as_regctl_reads, hint_for
from regctl.cli.output import Format
from regctl.errors import (
    AccessError,
    ClusterError,
    FileAccessError,
    InvalidInputError,
    InvalidUserListError,
    MalformedError,
    NamespaceMissingError,
    NotInRegistryError,
    ObjectNotFoundError,
    PartlyDoneError,
    RegctlError,
    RegistryError,
)

# With --check these mean that something could not be seen, and 1 means a difference.
UNSEEN = (AccessError, ClusterError, FileAccessError, RegistryError)

# With --ignore-not-found these are no error.
MISSING = (NamespaceMissingError, NotInRegistryError, ObjectNotFoundError)

# Set by the completion scripts: the line up to the cursor.
LINE = "_REGCTL_LINE"

_OUTPUT_OPTION = re.compile(r"(?:-\w*o|--output=?)(json|yaml)?")

# Every command of regctl by its heading in the help, and its place below regctl.cli.commands.
SECTIONS: dict[str, dict[str, str | CommandGroup]] = {
    "Users of the registry": {
        "adduser": "users:adduser",
        "deluser": "users:deluser",
        "users": "users:users",
        "verify": "users:verify",
        "auth": command_group(
            "Manage the auth file",
            write="auth.write:write",
            check="auth.check:check",
            lock="auth.lock:lock",
            unlock="auth.lock:unlock",
            push="auth.push:push",
            pull="auth.pull:pull",
        ),
    },
    "Pull secrets in the cluster": {
        "secret": command_group(
            "Manage pull secrets",
            create="secret.create:create",
            list="secret.list:list_",
            show="secret.show:show",
            check="secret.check:check",
            delete="secret.delete:delete",
            sync="secret.sync:sync",
        ),
        "rotate": "rotate:rotate",
    },
    "The registry and its images": {
        "registry": command_group(
            "Manage registries in the cluster",
            apply="registry.apply:apply",
            list="registry.list:list_",
            delete="registry.delete:delete",
        ),
        "catalog": "catalog:catalog",
        "tags": "tags:tags",
        "ping": "ping:ping",
        "login": "login:login",
        "logout": "login:logout",
        "image": command_group(
            "Manage images",
            inspect="image.inspect:inspect",
            push="image.push:push",
            tag="image.tag:tag",
            delete="image.delete:delete",
            prune="image.prune:prune",
            used="image.used:used",
        ),
    },
    "Diagnostics and setup": {
        "doctor": "doctor:doctor",
        "rbac": "rbac:rbac",
        "completion": "completion:completion",
    },
}


class Root(CommandGroup):
    """The group `regctl`, and the error boundary around every command."""

    group_class = CommandGroup

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by heading."""
        for heading, names in SECTIONS.items():
            self.write_section(formatter, heading, names)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Parse a command line, and what people type from habit."""
        return super().make_context(info_name, as_regctl_reads(self, args), parent, **extra)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line; in standalone mode end the process with its exit code."""
        app = extra.setdefault("obj", App())
        prog_name = app.output.program = prog_name or _program_name(sys.argv[0])
        if LINE in app.environ:
            from regctl.cli.shell_completion import print_candidates

            print_candidates(self, app, app.environ[LINE])
            sys.exit(0)
        run = functools.partial(
            super().main, args, prog_name, complete_var, standalone_mode=False, **extra
        )
        if not standalone_mode:
            return run()
        if args is None:  # the process is ours
            _end_in_order_on_signals()
            if isinstance(sys.stdout, io.TextIOWrapper):  # as stderr does
                sys.stdout.reconfigure(errors="backslashreplace")
        # About connections: regctl's own errors say what is wrong with one.
        warnings.filterwarnings("ignore", module="urllib3")
        line = sys.argv[1:] if args is None else args
        sys.exit(_exit_code(app, run, _document_format(line)))


def _program_name(path: str) -> str:
    """Return what a person typed to run the program at *path*; kubectl runs `kubectl-regctl`."""
    return "kubectl regctl" if path.rpartition("/")[2].startswith("kubectl-regctl") else "regctl"


def complete_for_kubectl() -> None:
    """Print the candidates for Tab after `kubectl regctl`; kubectl passes the words."""
    from regctl.cli.shell_completion import print_for_kubectl

    print_for_kubectl(main, App(), sys.argv[1:])


def _document_format(line: Sequence[str]) -> Format | None:
    """Return the format of the document that a command line asks for, also if it is wrong."""
    for word, following in itertools.pairwise([*line, ""]):
        option = _OUTPUT_OPTION.fullmatch(word)
        asked = (option[1] or following) if option else ""
        if asked in {"json", "yaml"}:
            return cast("Format", asked)
    return None


def _end_in_order_on_signals() -> None:
    """Make SIGTERM and SIGHUP end regctl as Ctrl-C does; one that nohup ignores stays ignored."""
    ending = [
        it for it in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(it) == signal.SIG_DFL
    ]

    def terminate(number: int, _frame: FrameType | None) -> None:
        for one in ending:  # a second signal does not disturb the end
            signal.signal(one, signal.SIG_IGN)
        raise TerminatedError(number)

    for one in ending:
        signal.signal(one, terminate)


def _exit_code(app: App, run: Callable[[], Any], asked: Format | None) -> int:
    """Run a command, report the error that ends it, and return the exit code of the process."""
    try:
        try:
            code = run()
        except click.Abort as error:
            code = _interrupted(error.__cause__)
        except Exception as error:  # noqa: BLE001 - the last handler: no traceback of regctl is shown
            # A wrong command line may end before its -o is read.
            app.output.format = app.output.format or asked
            code = _report(app, error)
        app.output.flush()
    except StdoutError as error:
        if not isinstance(error, ClosedPipeError):
            app.output.error(error)
        _abandon_stdout()
        code = error.exit_code
    except KeyboardInterrupt as error:
        code = _interrupted(error)
    return code if isinstance(code, int) else 0


def _interrupted(cause: BaseException | None) -> int:
    """Say what interrupted a run and return its exit code."""
    number = cause.number if isinstance(cause, TerminatedError) else signal.SIGINT
    words = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
    click.echo(words, err=True)
    return 128 + number


def _report(app: App, error: Exception) -> int:
    """Print the error that ends a run and return its exit code."""
    if isinstance(error, StdoutError):
        raise error
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    if isinstance(error, click.ClickException):
        failure: RegctlError = _usage_error(error)
    else:
        failure = as_failure(error, app.attempted)
    if app.ignores_missing and isinstance(failure, MISSING):
        app.output.note(failure.message)
        app.output.results([])
        return 0
    if app.checking and isinstance(failure, UNSEEN):
        failure = PartlyDoneError(failure.message, hint=failure.hint)
    if isinstance(failure, InvalidUserListError):
        for problem in failure.problems:
            app.output.error(MalformedError(problem))
    if isinstance(failure, DefectError):
        for line in traceback_lines(error):
            app.output.trace(line)
    app.output.fatal(failure)
    return failure.exit_code


def _usage_error(error: click.ClickException) -> InvalidInputError:
    """Return click's complaint about a command line in regctl's own form."""
    message, hint = error.format_message(), None
    if isinstance(error, click.UsageError) and error.ctx is not None:
        if hint := hint_for(error, error.ctx):
            message = error.message  # without click's guesses at what was meant
        hint = hint or f"`{error.ctx.command_path} --help` shows the usage"
    message = " ".join(message.split())
    return InvalidInputError((message[:1].lower() + message[1:]).removesuffix("."), hint=hint)


def _abandon_stdout() -> None:
    """Send the interpreter's last flush nowhere: the reader has gone."""
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
@click.version_option(__version__, "--version", message="regctl %(version)s")
def main() -> None:
    """Run a private Docker registry on Kubernetes: its users, pull secrets and catalog."""
