"""
The building blocks of every command: its class, and the options that mean the same everywhere.

A bundle of options that belong together reaches a command as one object. All of this is made anew
at every start of regctl, so an option is made once for all commands that have it, and a bundle is
no dataclass: each of those takes a millisecond to define.
"""

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from regctl.cli._app import App
from regctl.errors import InvalidInputError, InvalidPasswordError, NoCredentialError

if TYPE_CHECKING:
    from pathlib import Path

    from regctl.atomicfile import Writing
    from regctl.cli._output import Format
    from regctl.credentials import Credential
    from regctl.reference import Registry
    from regctl.targets import Targets

F = TypeVar("F", bound=Callable[..., Any])

BARE_DRY_RUN = "--dry-run"


class Command(click.Command):
    """
    A command with examples in its help, and the flags that every command has.

    *examples* are whole command lines, one each.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        self.params.extend(_common_options())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does; a bare `--dry-run` never eats the argument after it."""
        end = args.index("--") if "--" in args else len(args)
        bare_takes_client = any(
            isinstance(param, click.Option) and BARE_DRY_RUN in param.opts and not param.is_flag
            for param in self.params
        )
        if bare_takes_client:
            args = [
                f"{BARE_DRY_RUN}=client" if index < end and arg == BARE_DRY_RUN else arg
                for index, arg in enumerate(args)
            ]
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples below the options."""
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{example}\n")
        super().format_epilog(ctx, formatter)


class Noun(click.Group):
    """A group of commands about one thing: `regctl secret …`."""

    command_class = Command


def option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """Add an option, as click.option does, but the same object to every command that has it."""
    made = click.Option(names, **attributes)

    def decorate(function: F) -> F:
        # Where click's own decorators collect the parameters of a function to be.
        function.__dict__.setdefault("__click_params__", []).append(made)
        return function

    return decorate


class FilePath(click.Path):
    """A parameter that is a pathlib.Path; pathlib is loaded where one is given."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Path":
        """Return the path as it was typed."""
        from pathlib import Path

        return Path(str(super().convert(value, param, ctx)))


@functools.cache
def _common_options() -> tuple[click.Parameter, ...]:
    """Return the flags of every command; made once, since making an option takes its time."""

    def set_on_output(attribute: str, value: Any) -> Callable[..., None]:
        def callback(ctx: click.Context, _param: click.Parameter, given: bool) -> None:
            if given:
                setattr(ctx.ensure_object(App).output, attribute, value)

        return callback

    def flag(*names: str, attribute: str, value: Any, text: str) -> click.Parameter:
        return click.Option(
            names,
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=set_on_output(attribute, value),
            help=text,
        )

    return (
        flag("-v", "--verbose", attribute="verbose", value=True, text="Say what is being done."),
        flag("-q", "--quiet", attribute="quiet", value=True, text="Say errors and data only."),
        flag("--no-color", attribute="color", value=False, text="Never use colour."),
    )


def output_option(*formats: "Format") -> Callable[[F], F]:
    """Add `-o`; the choice is set on the output before anything else is parsed."""

    def callback(ctx: click.Context, _param: click.Parameter, value: "Format | None") -> None:
        if value is not None:
            ctx.ensure_object(App).output.format = value

    return option(
        "-o",
        "--output",
        type=click.Choice(formats),
        expose_value=False,
        is_eager=True,
        callback=callback,
        help="Output format.",
    )


file_option = option(
    "-f",
    "--file",
    "path",
    type=FilePath(),
    help="The auth file.  [default: $REGCTL_AUTH_FILE, then 'auth']",
)

dry_run_flag = option(
    BARE_DRY_RUN, "dry_run", is_flag=True, help="Say what would be done, and do nothing."
)

dry_run_option = option(
    BARE_DRY_RUN,
    "dry_run",
    type=click.Choice(["client", "server"]),
    metavar="[=client|server]",
    help="Say what would be done, and do nothing; 'server' asks the API server too.",
)

yes_option = option("-y", "--yes", is_flag=True, help="Do not ask.")


class Bundle:
    """Options that belong together: an attribute for each name that the class annotates."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)


def bundle(name: str, build: type[Bundle], *options: Callable[[F], F]) -> Callable[[F], F]:
    """Add *options* and pass them on as one argument *name*: the *build* of their values."""
    keys = tuple(build.__annotations__)

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            values = {key: kwargs.pop(key) for key in keys}
            return function(*args, **kwargs, **{name: build(values)})

        decorated = cast("F", wrapper)
        for add in reversed(options):
            decorated = add(decorated)
        return decorated

    return decorate


# The auth file


class WritingOptions(Bundle):
    """How to write the auth file."""

    backup: bool
    in_place: bool

    def how(self) -> "Writing":
        """Return them as the library takes them."""
        from regctl.atomicfile import Writing

        return Writing(backup=self.backup, in_place=self.in_place)


writing_options = bundle(
    "writing",
    WritingOptions,
    option("--backup", is_flag=True, help="Keep the old file as FILE.bak."),
    option(
        "--in-place",
        is_flag=True,
        help="Write into the file itself: for a file that is mounted by itself. Not atomic.",
    ),
)


class HashingOptions(Bundle):
    """What to hash with; None is the default."""

    scheme: str | None
    cost: int | None


hashing_options = bundle(
    "hashing",
    HashingOptions,
    option(
        "--scheme",
        type=click.Choice(["bcrypt", "apr1", "sha1", "sha256-crypt", "sha512-crypt"]),
        help="The scheme of the hash.  [default: bcrypt]",
    ),
    option(
        "--cost",
        type=int,
        metavar="N",
        help="bcrypt's cost, 4 to 17, or SHA-crypt's rounds.  [default: 10, 5000]",
    ),
)


# Passwords


class PasswordOptions(Bundle):
    """Where the password comes from, as asked for."""

    password_stdin: bool
    password_file: "Path | None"

    def given(self, app: App, *, argument: str | None = None, flag: str = "PASSWORD") -> str | None:
        """
        Return the password that was given, or None where none was.

        *argument* is one typed on the command line, with docker's warning; *flag* is its name.
        `$REGCTL_PASSWORD` comes last, so that a flag always wins. Raises InvalidInputError for two
        sources at once, InvalidPasswordError for an empty one.
        """
        sources = [
            name
            for name, present in (
                (flag, argument is not None),
                ("--password-stdin", self.password_stdin),
                ("--password-file", self.password_file is not None),
            )
            if present
        ]
        if len(sources) > 1:
            raise InvalidInputError(
                f"cannot take the password from {' and '.join(sources)}",
                hint="pass one of them",
            )
        if argument is not None:
            password = argument
            app.output.warning(
                "a password on the command line is seen by every user of this machine and kept "
                "in the shell's history; use --password-stdin"
            )
        elif self.password_stdin:
            password = _one_line(_read_stdin(), "standard input")
        elif self.password_file is not None:
            password = _one_line(_read_file(self.password_file), str(self.password_file))
        elif "REGCTL_PASSWORD" in app.environ:
            password, sources = app.environ["REGCTL_PASSWORD"], ["$REGCTL_PASSWORD"]
        else:
            return None
        if not password:
            raise InvalidPasswordError(f"the password from {sources[0]} is empty")
        app.output.conceal(password)
        return password


password_options = bundle(
    "password_options",
    PasswordOptions,
    option("--password-stdin", is_flag=True, help="Read the password from standard input."),
    option(
        "--password-file",
        type=FilePath(),
        help="Read the password from this file.",
    ),
)


def prompt_password(app: App, text: str, *, twice: bool) -> str:
    """
    Ask for a password on the terminal, hidden; *twice* to catch a slip of the finger.

    Raises NoCredentialError where there is no terminal.
    """
    if not app.interactive:
        raise NoCredentialError(
            "no password was given, and there is no terminal to ask on",
            hint="pass --password-stdin, --password-file or $REGCTL_PASSWORD",
        )
    password: str = click.prompt(text, hide_input=True, confirmation_prompt=twice, err=True)
    app.output.conceal(password)
    return password


def _read_stdin() -> bytes:
    return sys.stdin.buffer.read()


def _read_file(path: "Path") -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInputError(
            f"cannot read the password file {path}: {error.strerror}"
        ) from error


def _one_line(data: bytes, source: str) -> str:
    """Return the one line in *data* without its ending, as docker's `--password-stdin` does."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidPasswordError(f"the password from {source} is not UTF-8") from error
    text = text.removesuffix("\n").removesuffix("\r")
    if "\n" in text or "\r" in text:
        raise InvalidPasswordError(f"the password from {source} has more than one line")
    return text


# Credentials


class CredentialOptions(Bundle):
    """Who to be at a registry, as asked for."""

    username: str | None
    docker_password: str | None
    password_options: PasswordOptions

    def resolve(self, app: App, registry: "Registry") -> "Credential | None":
        """
        Return the credential for *registry*, or None where there is none: to be anonymous.

        In this order: flags, standard input, file, `$REGCTL_USERNAME` and `$REGCTL_PASSWORD`,
        docker's config, and for a user without a password a hidden prompt on a terminal.
        Raises InvalidInputError for a password without a user, NoCredentialError for a user
        without a password. Whatever is found is concealed in all output to stderr.
        """
        from regctl.credentials import Credential, check_username

        password = self.password_options.given(
            app, argument=self.docker_password, flag="--docker-password"
        )
        username = self.username or app.environ.get("REGCTL_USERNAME")
        if self.username == "":
            check_username(self.username)
        if username and password:
            credential = Credential(check_username(username), password)
        elif password and self._password_asked_for:
            raise InvalidInputError("a password, and no user", hint="pass --username")
        else:
            # $REGCTL_PASSWORD alone may be there for `adduser`.
            found = app.docker_config().credential_for(registry)
            if username and (found is None or found.username != username):
                found = Credential(
                    check_username(username),
                    prompt_password(app, f"Password of {username} at {registry}", twice=False),
                )
            if found is None:
                return None
            credential = found
        for secret in credential.secrets:
            app.output.conceal(secret)
        return credential

    def require(self, app: App, registry: "Registry") -> "Credential":
        """Return the credential as `resolve` does; without any, ask on a terminal."""
        from regctl.credentials import Credential, check_username

        credential = self.resolve(app, registry)
        if credential is not None:
            return credential
        if not app.interactive:
            raise NoCredentialError(
                f"no credential for {registry}: none was given and docker's config has none",
                hint="pass --username with --password-stdin, or run `docker login` first",
            )
        username = check_username(click.prompt(f"User at {registry}", err=True))
        password = prompt_password(app, f"Password of {username} at {registry}", twice=False)
        credential = Credential(username, password)
        for secret in credential.secrets:
            app.output.conceal(secret)
        return credential

    @property
    def given(self) -> bool:
        """Whether a flag speaks of a credential at all."""
        return self.username is not None or self._password_asked_for

    @property
    def _password_asked_for(self) -> bool:
        options = self.password_options
        return (
            self.docker_password is not None
            or options.password_stdin
            or options.password_file is not None
        )


credential_options = bundle(
    "credential",
    CredentialOptions,
    option(
        "--username",
        "--docker-username",
        "username",
        help="The user.  [default: $REGCTL_USERNAME, then docker's config]",
    ),
    # As kubectl has it, so that a pasted command line works; hidden, for there are better ways.
    option("--docker-password", hidden=True),
    password_options,
)


# The cluster


class ClusterOptions(Bundle):
    """Which cluster, as kubectl takes it."""

    kubeconfig: "Path | None"
    context: str | None
    timeout: float


cluster_options = bundle(
    "cluster_options",
    ClusterOptions,
    option("--kubeconfig", type=FilePath(), help="The kubeconfig file to use."),
    option("--context", help="The kubeconfig's context to use."),
    option(
        "--timeout",
        type=click.FloatRange(min=0.1),
        default=30,
        metavar="SECONDS",
        show_default=True,
        help="How long to try a request that gets no answer, or is sent away.",
    ),
)

workers_option = option(
    "--workers",
    type=click.IntRange(1, 16),
    default=8,
    show_default=True,
    help="How many requests at once.",
)


# Namespaces


class TargetOptions(Bundle):
    """Which namespaces, as asked for."""

    namespace: tuple[str, ...]
    all_namespaces: bool
    selector: str | None
    exclude: tuple[str, ...]
    namespaces_from: str | None

    @property
    def from_stdin(self) -> bool:
        """Whether standard input is taken up."""
        return self.namespaces_from == "-"

    def targets(self) -> "Targets":
        """
        Return the targets, names from a file or standard input included.

        There a line is a name, `namespace/NAME` as kubectl prints it, or a comment after `#`.
        Raises InvalidNamespaceError, InvalidInputError where the file can't be read.
        """
        from regctl.targets import Targets

        named = [name for text in self.namespace for name in text.split(",")]
        if self.namespaces_from is not None:
            text = _read_text(self.namespaces_from)
            words = (line.partition("#")[0].strip() for line in text.splitlines())
            named += [word.removeprefix("namespace/") for word in words if word]
            if not named:
                raise InvalidInputError(f"no namespaces in {self.namespaces_from}")
        return Targets(
            tuple(dict.fromkeys(named)),
            everywhere=self.all_namespaces,
            selector=self.selector,
            exclude=tuple(glob for text in self.exclude for glob in text.split(",")),
        )


target_options = bundle(
    "target_options",
    TargetOptions,
    option(
        "-n",
        "--namespace",
        multiple=True,
        metavar="NS[,NS...]",
        help="The namespace; may be repeated.  [default: the context's]",
    ),
    option(
        "-A",
        "--all-namespaces",
        is_flag=True,
        help="All namespaces but kube-* and openshift-*, unless named.",
    ),
    option("-l", "--selector", help="All namespaces with these labels."),
    option(
        "--exclude", multiple=True, metavar="GLOB", help="Leave these namespaces out; repeatable."
    ),
    option(
        "--namespaces-from",
        metavar="FILE",
        help="Read names of namespaces from a file, a line each; '-' is standard input.",
    ),
)


def _read_text(source: str) -> str:
    from pathlib import Path

    try:
        data = _read_stdin() if source == "-" else Path(source).read_bytes()
        return data.decode()
    except OSError as error:
        raise InvalidInputError(f"cannot read {source}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"cannot read {source}: not UTF-8") from error


# Registries


class TransportOptions(Bundle):
    """How to speak to a registry. HTTPS with a trusted certificate unless told otherwise."""

    ca_file: "Path | None"
    client_cert: "Path | None"
    client_key: "Path | None"
    plain_http: bool
    insecure_skip_tls_verify: bool


registry_argument = click.argument("registry", required=False)

transport_options = bundle(
    "transport",
    TransportOptions,
    option("--ca-file", type=FilePath(), help="Trust the certificates in this file."),
    option("--client-cert", type=FilePath(), help="The certificate to show."),
    option("--client-key", type=FilePath(), help="Its private key."),
    option("--plain-http", is_flag=True, help="Speak HTTP, not HTTPS."),
    option("--insecure-skip-tls-verify", is_flag=True, help="Trust any certificate. Unsafe."),
)
