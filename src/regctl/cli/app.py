"""
What a command is given: its output, its environment, and clients that are made on first use.

The options that say how to connect are kept here; no command passes them on.
"""

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, TYPE_CHECKING

import click

from regctl.cli.errors import ConfirmationError
from regctl.cli.options import (
    ChangeFlags,
    Connections,
    CredentialFlags,
    NamespacedName,
    PasswordFlags,
    TargetFlags,
)
from regctl.cli.output import Output
from regctl.errors import (
    InvalidInputError,
    InvalidPasswordError,
    MalformedError,
    NoCredentialError,
    RegctlError,
)

if TYPE_CHECKING:
    from datetime import date, datetime
    from pathlib import Path

    from regctl.cluster.client import Cluster
    from regctl.cluster.kubeconfig import Kubeconfig
    from regctl.cluster.namespaces import Targets
    from regctl.credentials.credential import Credential
    from regctl.credentials.dockerconfig import DockerConfig
    from regctl.outcome import DryRun, Outcome
    from regctl.reference import Registry
    from regctl.registry.client import RegistryClient
    from regctl.registry.transport import ConnectionSettings
    from regctl.retry import RequestTrace

STDIN = "-"

Run = Callable[["DryRun | None"], Iterable[Sequence["Outcome"]]]


@dataclass(eq=False)
class App:
    """The one object that every command gets."""

    output: Output = field(default_factory=Output)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    clock: "Callable[[], datetime] | None" = None
    connections: Connections = field(default_factory=Connections)
    checking: bool = False
    ignores_missing: bool = False
    attempted: str = "regctl"
    _stdin_holds: str | None = None

    def __post_init__(self) -> None:
        # https://no-color.org: set and not empty, whatever its value.
        if self.environ.get("NO_COLOR"):
            self.output.color = False

    def now(self) -> "datetime":
        """Return the current time in UTC."""
        from datetime import datetime, timezone

        return self.clock() if self.clock else datetime.now(timezone.utc)

    def today(self) -> "date":
        """Return the current day in UTC: expiry must not depend on where regctl runs."""
        return self.now().date()

    # Files

    def auth_file(self, path: "Path | None") -> "Path":
        """
        Return the auth file to use: the flag, `$REGCTL_AUTH_FILE`, or `auth` here.

        Raises InvalidInputError for `-`, which is no file.
        """
        from pathlib import Path

        found = path or Path(self.environ.get("REGCTL_AUTH_FILE") or "auth")
        if str(found) == STDIN:
            raise InvalidInputError(
                "the auth file cannot be standard input", hint="only `regctl adduser` takes -f -"
            )
        return found

    def read(self, source: "str | Path", content: str) -> bytes:
        """
        Return the bytes of a file, or of standard input for `-`; *content* says what it holds.

        Raises FileAccessError, and InvalidInputError for a second use of standard input.
        """
        from pathlib import Path

        from regctl import atomicfile

        stream = self.stdin(content) if source == STDIN else Path(source)
        name = "standard input" if source == STDIN else source
        return atomicfile.read_input(stream, f"{content} {name}")

    def stdin(self, content: str) -> IO[bytes]:
        """
        Return standard input, which holds *content*.

        Raises InvalidInputError if it holds something else already.
        """
        if self._stdin_holds is not None:
            raise InvalidInputError(
                f"standard input cannot hold both {self._stdin_holds} and {content}",
                hint="pass one of them in a file",
            )
        self._stdin_holds = content
        return sys.stdin.buffer

    def read_text(self, source: str, content: str) -> str:
        """Return the text of a file or standard input, as `read`; MalformedError if not UTF-8."""
        data = self.read(source, content)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            name = "standard input" if source == STDIN else source
            raise MalformedError(f"cannot read {name}, line {line}: not UTF-8") from error

    def docker_config(self) -> "DockerConfig":
        """Return docker's `config.json`; each call reads it again."""
        from regctl.credentials.dockerconfig import DockerConfig

        return DockerConfig.load(self.environ)

    # The cluster

    @cached_property
    def cluster(self) -> "Cluster":
        """The cluster that the flags or the environment name; nothing is sent yet."""
        return self.connect_cluster(None)

    def kubeconfig(self, context: str | None) -> "Kubeconfig":
        """Return the kubeconfig of the flags or the environment; None is the context of both."""
        from regctl.cluster.kubeconfig import Kubeconfig

        connections = self.connections
        return Kubeconfig(self.environ, connections.kubeconfig, context or connections.context)

    def connect_cluster(self, context: str | None) -> "Cluster":
        """Return the cluster of a context, as `kubeconfig` finds it; nothing is sent yet."""
        from regctl.cluster.client import DEFAULT_TIMEOUT, Cluster

        connections = self.connections
        return Cluster(
            self.kubeconfig(context),
            timeout=connections.timeout or DEFAULT_TIMEOUT,
            workers=connections.workers,
            on_request=self._trace,
            on_warning=self.output.note,
        )

    def targets(self, flags: TargetFlags) -> "Targets":
        """
        Return the namespaces that the flags name, with those of --namespaces-from.

        A line of that file is a name, `namespace/NAME` as kubectl prints it, or a comment after
        `#`. Raises InvalidNamespaceError, InvalidInputError and FileAccessError.
        """
        from regctl.cluster.namespaces import Targets

        names = [name for text in flags.namespace for name in text.split(",")]
        if flags.namespaces_from is not None:
            text = self.read_text(flags.namespaces_from, "the namespaces")
            words = (line.partition("#")[0].strip() for line in text.splitlines())
            names += [word.removeprefix("namespace/") for word in words if word]
            if not names:
                raise InvalidInputError(f"no namespaces in {flags.namespaces_from}")
        return Targets(
            tuple(dict.fromkeys(names)),
            everywhere=flags.all_namespaces,
            selector=flags.selector,
            exclude=tuple(glob for text in flags.exclude for glob in text.split(",")),
        )

    @property
    def default_auth_secret(self) -> NamespacedName:
        """The auth Secret of the context's namespace."""
        from regctl.authsecret import DEFAULT_NAME

        return NamespacedName(self.cluster.context_namespace, DEFAULT_NAME)

    # Registries

    def named_registry(self, name: str | None, *, source: str = "REGISTRY") -> "Registry":
        """
        Return the registry of that name, or of `$REGCTL_REGISTRY`.

        Raises InvalidInputError without a name. *source* is the argument or flag for one.
        """
        from regctl.reference import Registry

        named = name or self.environ.get("REGCTL_REGISTRY")
        if not named:
            raise InvalidInputError(
                "no registry was named", hint=f"pass {source}, or set $REGCTL_REGISTRY"
            )
        registry = Registry.parse(named)
        self.obey_scheme(named)
        return registry

    def obey_scheme(self, text: str) -> None:
        """Use HTTP from now on if *text*, a registry or an image, begins with `http://`."""
        if text.strip().lower().startswith("http://") and not self.connections.plain_http:
            self.connections.plain_http = True
            self.output.note(f"{text}: without TLS, as http:// says")

    def registry(
        self, registry: "Registry", flags: CredentialFlags, repository: str = ""
    ) -> "RegistryClient":
        """Return the client of *registry*, as the user of `credential`, else anonymous."""
        return self.registry_as(registry, self.credential(flags, registry, repository))

    def registry_as(
        self,
        registry: "Registry",
        credential: "Credential | None",
        settings: "ConnectionSettings | None" = None,
    ) -> "RegistryClient":
        """Return the client of *registry* for just this credential, or anonymous."""
        from regctl.registry.client import RegistryClient
        from regctl.registry.session import Callbacks

        return RegistryClient(
            registry,
            credential=credential,
            settings=settings or self.registry_settings,
            callbacks=Callbacks(
                on_request=self._trace,
                on_wait=lambda seconds: self.output.note(
                    f"{registry} is busy: waiting {seconds:.0f} s"
                ),
                on_notice=self.output.note,
            ),
        )

    @property
    def ca_file(self) -> "Path | None":
        """The certificates to trust at registries: the flag, or `$REGCTL_CA_FILE`."""
        from pathlib import Path

        named = self.environ.get("REGCTL_CA_FILE")
        return self.connections.ca_file or (Path(named) if named else None)

    @property
    def registry_settings(self) -> "ConnectionSettings":
        """How to connect to registries, as the library takes it."""
        from pathlib import Path

        from regctl.registry.transport import ConnectionSettings

        connections = self.connections
        home = Path(self.environ.get("HOME") or "/nonexistent")
        settings = ConnectionSettings(
            self.ca_file,
            connections.client_cert,
            connections.client_key,
            plain_http=connections.plain_http,
            insecure_skip_tls_verify=connections.insecure_skip_tls_verify,
            folders=(
                Path("/etc/docker/certs.d"),
                Path("/etc/containers/certs.d"),
                home / ".config/docker/certs.d",
                home / ".config/containers/certs.d",
            ),
        )
        return settings if (seconds := connections.timeout) is None else settings.within(seconds)

    def _trace(self, request: "RequestTrace") -> None:
        status = request.status or "no answer"
        milliseconds = round(request.seconds * 1000)
        self.output.trace(f"{request.method} {request.url} {status} {milliseconds} ms")

    # Passwords and credentials

    def password(
        self, flags: PasswordFlags, *, argument: str | None = None, flag: str = "PASSWORD"
    ) -> str | None:
        """
        Return the password that was given, or None.

        *argument* is one typed on the command line, which gets docker's warning; *flag* is its
        name. A flag wins over `$REGCTL_PASSWORD`. Raises InvalidInputError for two sources at
        once, InvalidPasswordError for an empty one.
        """
        given = {
            flag: argument is not None,
            "--password-stdin": flags.password_stdin,
            "--password-file": flags.password_file is not None,
        }
        sources = [source for source, present in given.items() if present]
        if len(sources) > 1:
            raise InvalidInputError(
                f"cannot take the password from {' and '.join(sources)}", hint="pass one of them"
            )
        if argument is not None:
            password = argument
            self.output.warning(
                "a password on the command line is visible to every user of this machine and "
                "stays in the shell's history; use --password-stdin"
            )
        elif flags.given:
            password = self._one_line(flags.password_file or STDIN)
        elif "REGCTL_PASSWORD" in self.environ:
            password, sources = self.environ["REGCTL_PASSWORD"], ["$REGCTL_PASSWORD"]
        else:
            return None
        if not password:
            raise InvalidPasswordError(f"the password from {sources[0]} is empty")
        return password

    def _one_line(self, source: "str | Path") -> str:
        """Return the one line of *source* without its end, as docker's `--password-stdin` does."""
        name = "standard input" if source == STDIN else source
        try:
            text = self.read(source, "the password").decode()
        except UnicodeDecodeError as error:
            raise InvalidPasswordError(f"the password from {name} is not UTF-8") from error
        text = text.removesuffix("\n").removesuffix("\r")
        if "\n" in text or "\r" in text:
            raise InvalidPasswordError(f"the password from {name} has more than one line")
        return text

    def new_password(self, flags: PasswordFlags, name: str, *, argument: str | None = None) -> str:
        """Return the password to set for user *name*: generated, given, or asked for."""
        from regctl.authfile import hashes

        if flags.generate:
            if argument is not None or flags.given:
                raise InvalidInputError(
                    "cannot generate a password and take a given one", hint="pass one of them"
                )
            return hashes.generate_password()
        given = self.password(flags, argument=argument)
        return self.ask_password(f"New password of {name}", twice=True) if given is None else given

    def ask_password(self, question: str, *, twice: bool = False) -> str:
        """
        Ask for a password on the terminal, hidden; *twice* catches a typing error.

        Raises NoCredentialError without a terminal.
        """
        if not self.interactive:
            raise NoCredentialError(
                "no password was given, and there is no terminal to ask on",
                hint="pass --password-stdin, --password-file or $REGCTL_PASSWORD",
            )
        return self.output.ask(question, hidden=True, twice=twice)

    def credential(
        self, flags: CredentialFlags, registry: "Registry", repository: str = ""
    ) -> "Credential | None":
        """
        Return the credential for *registry*, or None: then regctl is anonymous.

        In this order: flags, standard input, file, `$REGCTL_USERNAME` and `$REGCTL_PASSWORD`,
        the logins of docker and podman, and for a user without a password a hidden prompt on a
        terminal. *repository* chooses among podman's logins for parts of a registry. Raises
        InvalidInputError for a password without a user, NoCredentialError for a user without a
        password.
        """
        from regctl.credentials.credential import Credential, check_username

        password = self.password(
            flags.password, argument=flags.docker_password, flag="--docker-password"
        )
        username = self.environ.get("REGCTL_USERNAME")
        if flags.username is not None:
            username = check_username(flags.username)
        if username and password:
            return Credential(check_username(username), password)
        if password and flags.password_given:
            raise InvalidInputError("a password needs --username", hint="pass --username")
        # $REGCTL_PASSWORD alone may be meant for `adduser`.
        found = self.docker_config().credential_for(registry, repository)
        if username and (found is None or found.username != username):
            password = self.ask_password(f"Password of {username} at {registry}")
            return Credential(check_username(username), password)
        return found

    def require_credential(self, flags: CredentialFlags, registry: "Registry") -> "Credential":
        """Return the credential as `credential` does; without any, ask on a terminal."""
        from regctl.credentials.credential import Credential, check_username

        found = self.credential(flags, registry)
        if found is None:
            if not self.interactive:
                raise NoCredentialError(
                    f"no credential for {registry}: none was given, docker and podman have none",
                    hint="pass --username with --password-stdin, or run `regctl login "
                    f"{registry}` on a terminal",
                )
            username = check_username(self.output.ask(f"User at {registry}"))
            found = Credential(username, self.ask_password(f"Password of {username} at {registry}"))
        return found

    # Questions and changes

    @property
    def interactive(self) -> bool:
        """Whether there is a terminal to ask on."""
        return sys.stdin.isatty()

    def confirm(self, question: str, *, yes: bool) -> None:
        """
        Ask before something that cannot be undone; *yes* answers beforehand.

        Raises ConfirmationError if the answer is no, or if there is no terminal to ask on.
        """
        if yes:
            return
        if not self.interactive:
            raise ConfirmationError(
                f"not confirmed: {question}", hint="pass --yes to confirm without a terminal"
            )
        if not self.output.confirm(question):
            raise ConfirmationError("nothing was changed")

    def carry_out(
        self,
        run: Run,
        change: ChangeFlags,
        *,
        question: str | None = None,
        preview: bool = False,
        progress: tuple[str, int | None] | None = None,
    ) -> "list[Outcome]":
        """
        Check, dry-run or really carry out a change, and print what became of each object.

        *run* yields the outcomes of each piece of work as it is done; without a dry run it changes
        something. *question* is asked before that; *preview* lists the objects that would change
        first. *progress* describes the work and counts its pieces. On Ctrl-C what was done is
        printed. Raises DifferenceError with `--check` if there is a difference, and what
        `Output.results` raises.
        """
        dry_run = "client" if change.check else change.dry_run
        if question is not None and dry_run is None:
            if preview and not change.yes:
                self.output.preview([outcome for some in run("client") for outcome in some])
            self.confirm(question, yes=change.yes)
        outcomes: list[Outcome] = []
        description, total = progress or (None, 0)
        try:
            with self.output.progress(description, total) as advance:
                for some in run(dry_run):
                    outcomes += some
                    advance()
        except KeyboardInterrupt:
            self._print_interrupted(outcomes, dry_run)
            raise
        outcomes.sort(key=_order)
        if change.check:
            self.output.differences(outcomes)
        else:
            self.output.results(outcomes, dry_run=dry_run)
        return outcomes

    def _print_interrupted(self, outcomes: "list[Outcome]", dry_run: "DryRun | None") -> None:
        try:
            self.output.results(sorted(outcomes, key=_order), dry_run=dry_run)
        except RegctlError as error:
            # The interruption ends the run; what failed before it is only reported.
            self.output.error(error)


def _order(outcome: "Outcome") -> tuple[str, bool]:
    """Sort by namespace, with a Secret before the service accounts that use it."""
    return outcome.namespace or "", outcome.kind == "serviceaccount"


pass_app = click.make_pass_decorator(App, ensure=True)
