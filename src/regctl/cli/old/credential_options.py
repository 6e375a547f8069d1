"""Where passwords and credentials come from: flags, files, the environment, docker, a person."""

import sys
from typing import TYPE_CHECKING

import click

from regctl.cli.app import App
from regctl.cli.old.params import Bundle, FilePath, bundle, option
from regctl.errors import InvalidInputError, InvalidPasswordError, NoCredentialError

if TYPE_CHECKING:
    from pathlib import Path

    from regctl.credentials.credential import Credential
    from regctl.reference import Registry


# Passwords


class PasswordOptions(Bundle):
    """Where the password comes from, as asked for."""

    heading = "Credentials"

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
            password = _one_line(sys.stdin.buffer.read(), "standard input")
        elif self.password_file is not None:
            password = _one_line(_read_file(self.password_file), str(self.password_file))
        elif "REGCTL_PASSWORD" in app.environ:
            password, sources = app.environ["REGCTL_PASSWORD"], ["$REGCTL_PASSWORD"]
        else:
            return None
        if not password:
            raise InvalidPasswordError(f"the password from {sources[0]} is empty")
        app.output.redact(password)
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
    app.output.redact(password)
    return password


def new_password(
    app: App, name: str, argument: str | None, options: PasswordOptions, *, generate: bool
) -> str:
    """Return the password to set, from wherever it comes."""
    from regctl.authfile import hashes

    if generate:
        if argument is not None or options.password_stdin or options.password_file is not None:
            raise InvalidInputError(
                "cannot generate a password where one is given", hint="leave out one of them"
            )
        return hashes.generate_password()
    given = options.given(app, argument=argument)
    if given is not None:
        return given
    return prompt_password(app, f"New password of {name}", twice=True)


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

    heading = "Credentials"

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
        from regctl.credentials.credential import Credential, check_username

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
        for secret in credential.sensitive_values:
            app.output.redact(secret)
        return credential

    def require(self, app: App, registry: "Registry") -> "Credential":
        """Return the credential as `resolve` does; without any, ask on a terminal."""
        from regctl.credentials.credential import Credential, check_username

        credential = self.resolve(app, registry)
        if credential is not None:
            return credential
        if not app.interactive:
            raise NoCredentialError(
                f"no credential for {registry}: none was given and docker's config has none",
                hint="pass --username with --password-stdin, once to `regctl login` or each time",
            )
        username = check_username(click.prompt(f"User at {registry}", err=True))
        password = prompt_password(app, f"Password of {username} at {registry}", twice=False)
        credential = Credential(username, password)
        for secret in credential.sensitive_values:
            app.output.redact(secret)
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
