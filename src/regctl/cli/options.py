"""The options of commands as plain data: a NamedTuple for options that belong together."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from regctl.errors import InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path

    from regctl.atomicfile import WriteOptions
    from regctl.outcome import DryRun


class Connections:
    """
    How to connect to the cluster and to registries; options set it.

    *timeout* is in seconds; None means the default of each client.

    A plain class: a dataclass would cost every start a millisecond.
    """

    kubeconfig: "Path | None" = None
    context: str | None = None
    timeout: float | None = None
    workers: int = 8
    ca_file: "Path | None" = None
    client_cert: "Path | None" = None
    client_key: "Path | None" = None
    plain_http: bool = False
    insecure_skip_tls_verify: bool = False

    @property
    def typed(self) -> dict[str, str | None]:
        """The options that were given, with their values; a flag has None."""
        names = ("kubeconfig", "context", "ca_file", "client_cert", "client_key")
        values = {name: str(value) for name in names if (value := getattr(self, name)) is not None}
        flags = ("plain_http", "insecure_skip_tls_verify")
        given = {**values, **{name: None for name in flags if getattr(self, name)}}
        return {f"--{name.replace('_', '-')}": value for name, value in given.items()}


class TargetFlags(NamedTuple):
    """Which namespaces, as typed."""

    namespace: tuple[str, ...] = ()
    all_namespaces: bool = False
    selector: str | None = None
    exclude: tuple[str, ...] = ()
    namespaces_from: str | None = None


class ChangeFlags(NamedTuple):
    """How to change something: really, as a dry run or as a check, and what may be overwritten."""

    dry_run: "DryRun | None" = None
    check: bool = False
    yes: bool = False
    adopt: bool = False
    replace: bool = False


class PasswordFlags(NamedTuple):
    """Where a password comes from."""

    password_stdin: bool = False
    password_file: "Path | None" = None
    generate: bool = False

    @property
    def given(self) -> bool:
        """Whether one of the flags names a password."""
        return self.password_stdin or self.password_file is not None


class CredentialFlags(NamedTuple):
    """Which user to be at a registry, and where its password comes from."""

    username: str | None = None
    docker_password: str | None = None
    password_stdin: bool = False
    password_file: "Path | None" = None

    @property
    def given(self) -> bool:
        """Whether one of the flags names a user or a password."""
        return self.username is not None or self.password_given

    @property
    def password_given(self) -> bool:
        """Whether one of the flags names a password."""
        return self.docker_password is not None or self.password.given

    @property
    def password(self) -> PasswordFlags:
        """Where the password comes from, apart from --docker-password."""
        return PasswordFlags(self.password_stdin, self.password_file)


class VerificationFlags(NamedTuple):
    """Whether to try credentials before they are written, and for how many seconds."""

    no_verify: bool = False
    wait: float = 120.0


class SelectionFlags(NamedTuple):
    """Which names to list, and how much about each."""

    long: bool = False
    match: str | None = None

    def matches(self, name: str) -> bool:
        """Return whether a name is listed."""
        from fnmatch import fnmatchcase

        return self.match is None or fnmatchcase(name, self.match)


class HashingFlags(NamedTuple):
    """How to hash a password; None means the default."""

    scheme: str | None = None
    cost: int | None = None


class WritingFlags(NamedTuple):
    """How to write the auth file."""

    backup: bool = False
    in_place: bool = False

    def options(self, dry_run: "DryRun | None" = None) -> "WriteOptions":
        """Return them for the library."""
        from regctl.atomicfile import WriteOptions

        return WriteOptions(self.backup, self.in_place, dry_run=dry_run is not None)


class AccessFlags(NamedTuple):
    """Where users lose access besides the auth file; *wait* is in seconds, None: do not wait."""

    auth_secret: "NamespacedName | None" = None
    reader: str | None = None
    wait: float | None = None


class NamespacedName(NamedTuple):
    """An object in a namespace, typed as NAMESPACE/NAME."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Return it as it is typed."""
        return f"{self.namespace}/{self.name}"


def split_reference(text: str, kind: str, targets: TargetFlags) -> tuple[str, TargetFlags]:
    """
    Return the name of an object and where it is, from NAME or NAMESPACE/KIND/NAME.

    `-o name` prints the latter. Raises InvalidInputError if *targets* name other namespaces.
    """
    namespace, slash, name = text.partition(f"/{kind}/")
    if not slash:
        return text, targets
    if targets not in (TargetFlags(), TargetFlags((namespace,))):
        raise InvalidInputError(
            f"{text} is in namespace {namespace}", hint=f"pass {name} to choose other namespaces"
        )
    return name, TargetFlags((namespace,))


def at_most_one(flags: Mapping[str, object]) -> None:
    """Raise InvalidInputError if more than one of *flags* has a value: they exclude each other."""
    given = [flag for flag, value in flags.items() if value]
    if len(given) > 1:
        raise InvalidInputError(f"cannot combine {' and '.join(given)}", hint="pass one of them")
