"""The options that mean the same everywhere: each is made here, once, for all commands."""

import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from regctl.cli.app import App
from regctl.cli.command import Decorator, option, option_group
from regctl.cli.completers import (
    auth_secrets,
    contexts,
    files,
    namespaces,
    readers,
    registries,
)
from regctl.cli.options import (
    AccessFlags,
    ChangeFlags,
    CredentialFlags,
    HashingFlags,
    NamespacedName,
    PasswordFlags,
    SelectionFlags,
    TargetFlags,
    VerificationFlags,
    WritingFlags,
)

if TYPE_CHECKING:
    from pathlib import Path

    from regctl.cli.output import Format

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


_writing = functools.partial(option, heading="Writing")
_hashing = functools.partial(option, heading="Hashing")
_credentials = functools.partial(option, heading="Credentials")
_namespaces = functools.partial(option, heading="Namespaces")
_registry = functools.partial(option, heading="Registry")


# Types


class FilePath(click.Path):
    """A parameter that is a pathlib.Path; pathlib is loaded when one is given."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Path":
        """Return the path as it was typed."""
        from pathlib import Path

        return Path(str(super().convert(value, param, ctx)))


class Duration(click.ParamType):  # type: ignore[type-arg] # not generic in click 8.4
    """Seconds as a float, typed as `30s`, `10m`, `2h`, `90d`, `12w` or a plain number."""

    name = "duration"

    def __init__(self, minimum: float = 0) -> None:
        self.minimum = minimum

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw]?)", str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a duration such as 30s, 10m, 2h or 90d", param, ctx)
        seconds = float(match[1]) * _SECONDS[match[2]]
        if seconds < self.minimum:
            self.fail(f"{value!r} is less than {self.minimum} s", param, ctx)
        return seconds


class ByteSize(click.ParamType):  # type: ignore[type-arg] # not generic in click 8.4
    """Bytes as an int, typed as `8M`, `500k` or a plain number; binary units."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes, 1 at least."""
        match = re.fullmatch(r"(\d+)\s*([kmg]?)i?b?", str(value).strip().lower())
        if match is None or int(match[1]) == 0:
            self.fail(f"{value!r} is not a size such as 8M or 500k", param, ctx)
        return int(match[1]) * _BYTES[match[2]]


class NamespacedNameType(click.ParamType):  # type: ignore[type-arg] # not generic in click 8.4
    """An object in a namespace, typed as NAMESPACE/NAME, or as `-o name` prints a Secret."""

    name = "namespaced name"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> NamespacedName:
        """Return the namespace and the name."""
        if isinstance(value, NamespacedName):
            return value
        namespace, _, name = str(value).replace("/secret/", "/", 1).partition("/")
        if not (namespace and name) or "/" in name:
            self.fail(f"{value!r} is not NAMESPACE/NAME", param, ctx)
        return NamespacedName(namespace, name)


DURATION = Duration()
BYTE_SIZE = ByteSize()
NAMESPACED_NAME = NamespacedNameType()


# Output


def output_option(*formats: "Format") -> Decorator:
    """Add `-o`; the format is set on the output before anything else is parsed."""

    def set_format(ctx: click.Context, _param: click.Parameter, value: "Format | None") -> None:
        if value is not None:
            ctx.ensure_object(App).output.format = value

    return option(
        "-o",
        "--output",
        type=click.Choice(formats),
        expose_value=False,
        is_eager=True,
        callback=set_format,
        heading="Output",
        help="Output format.",
    )


# Changes


def change_options(*flags: str, server: bool = False) -> Decorator:
    """
    Add `--dry-run` and the named *flags* of a changing command, passed as `change`.

    *flags* are some of "check", "yes", "adopt", "adopt-deleted" and "replace". With *server*
    `--dry-run=server` asks the API server, too.
    """
    dry_run = _SERVER_DRY_RUN if server else _DRY_RUN
    return option_group("change", ChangeFlags, dry_run, *(_CHANGE_FLAGS[flag] for flag in flags))


def _set_checking(ctx: click.Context, _param: click.Parameter, value: bool) -> bool:
    ctx.ensure_object(App).checking = value
    return value


_DRY_RUN = option(
    "--dry-run", "dry_run", flag_value="client", help="Print what would be done, without doing it."
)
_SERVER_DRY_RUN = option(
    "--dry-run",
    "dry_run",
    type=click.Choice(["client", "server"]),
    bare="client",
    metavar="[=client|server]",
    help="Print what would be done, without doing it; 'server' asks the API server, too.",
)
_CHANGE_FLAGS: dict[str, Decorator] = {
    "check": option(
        "--check",
        is_flag=True,
        callback=_set_checking,
        help="Show the differences, change nothing, exit with 1 if any.",
    ),
    "yes": option("-y", "--yes", is_flag=True, help="Do not ask for confirmation."),
    "adopt": option(
        "--adopt", is_flag=True, help="Take over objects that were created without regctl."
    ),
    "adopt-deleted": option(
        "--adopt", is_flag=True, help="Delete objects that were created without regctl, too."
    ),
    "replace": option(
        "--replace", is_flag=True, help="Delete and create an object that cannot be updated."
    ),
}


def _set_ignoring(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    ctx.ensure_object(App).ignores_missing = value


ignore_not_found_option = option(
    "--ignore-not-found",
    is_flag=True,
    expose_value=False,
    callback=_set_ignoring,
    help="Exit with 0 if there is nothing of that name.",
)


# The auth file

file_option = option(
    "-f",
    "--file",
    "path",
    type=FilePath(),
    help="The auth file.  [default: $REGCTL_AUTH_FILE, then 'auth']",
)

reader_option = option(
    "--for",
    "reader",
    metavar="READER",
    shell_complete=readers,
    help="The program that reads the auth file, such as nginx or traefik.",
)

auth_secret_option = option(
    "--auth-secret",
    type=NAMESPACED_NAME,
    metavar="NS/NAME",
    envvar="REGCTL_AUTH_SECRET",
    shell_complete=auth_secrets,
    help="The Secret that the registry's users are read from.  [default: $REGCTL_AUTH_SECRET]",
)

writing_options = option_group(
    "writing",
    WritingFlags,
    _writing("--backup", is_flag=True, help="Keep the old file as FILE.bak."),
    _writing(
        "--in-place",
        is_flag=True,
        help="Write into the existing file, for one that is mounted on its own. Not atomic.",
    ),
)

hashing_options = option_group(
    "hashing",
    HashingFlags,
    _hashing(
        "--scheme",
        type=click.Choice(["bcrypt", "apr1", "sha1", "sha256-crypt", "sha512-crypt"]),
        help="The scheme of the hash.  [default: bcrypt]",
    ),
    _hashing(
        "-C",
        "--cost",
        type=int,
        metavar="N",
        help="bcrypt's cost, 4 to 17, or SHA-crypt's rounds.  [default: 10, 5000]",
    ),
)


# Passwords and credentials

_PASSWORD_STDIN = _credentials(
    "--password-stdin", is_flag=True, help="Read the password from standard input."
)
_PASSWORD_FILE = _credentials(
    "--password-file", type=FilePath(), help="Read the password from this file."
)
_GENERATE = _credentials(
    "--generate", is_flag=True, help="Generate a password and print it to standard output."
)

# A password to set, or to check.
new_password_options = option_group(
    "password_flags", PasswordFlags, _PASSWORD_STDIN, _PASSWORD_FILE, _GENERATE
)
password_options = option_group("password_flags", PasswordFlags, _PASSWORD_STDIN, _PASSWORD_FILE)

credential_options = option_group(
    "credential",
    CredentialFlags,
    _credentials(
        "-u",
        "--username",
        "--docker-username",
        "username",
        help="The user.  [default: $REGCTL_USERNAME, then docker's config]",
    ),
    # kubectl's flag, so that a pasted command line works; hidden, for there are safer ways.
    option("--docker-password", hidden=True),
    _PASSWORD_STDIN,
    _PASSWORD_FILE,
)


# Namespaces

target_options = option_group(
    "targets",
    TargetFlags,
    _namespaces(
        "-n",
        "--namespace",
        multiple=True,
        metavar="NS[,NS...]",
        shell_complete=namespaces,
        help="The namespace; repeatable.  [default: the context's]",
    ),
    _namespaces(
        "-A",
        "--all-namespaces",
        is_flag=True,
        help="All namespaces except kube-* and openshift-*, unless named.",
    ),
    _namespaces("-l", "--selector", help="All namespaces that match this selector."),
    _namespaces(
        "--exclude",
        multiple=True,
        metavar="GLOB",
        help="Exclude namespaces that match; repeatable.",
    ),
    _namespaces(
        "--namespaces-from",
        metavar="FILE",
        shell_complete=files,
        help="Read the namespaces from a file, one a line; '-' is standard input.",
    ),
)

# One namespace, of an object that the command is about.
namespace_option = option(
    "-n",
    "--namespace",
    metavar="NS",
    shell_complete=namespaces,
    help="The namespace.  [default: the context's]",
)


# Connections: kept on the App, which makes the clients


def _kept(*names: str, heading: str, **attributes: Any) -> Decorator:
    """Add an option whose value is kept on `App.connections`, under the option's own name."""

    def keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value is not None:
            setattr(ctx.ensure_object(App).connections, str(param.name), value)

    add = option(*names, heading=heading, expose_value=False, callback=keep, **attributes)

    def add_once(function: Callable[..., Any]) -> Callable[..., Any]:
        present = getattr(function, "__click_params__", ())
        is_there = any(names[-1] in param.opts for param in present)
        return function if is_there else add(function)

    return add_once


def _all(*options: Decorator) -> Decorator:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for add in reversed(options):
            function = add(function)
        return function

    return decorate


workers_option = _kept(
    "--workers",
    heading="Connections",
    type=click.IntRange(1, 16),
    metavar="N",
    help="The number of parallel requests.  [default: 8]",
)

_timeout_option = _kept(
    "--timeout",
    heading="Connections",
    type=Duration(minimum=0.1),
    metavar="DURATION",
    help="End a request after this time.  [default: 30s; registry: 60s, a page of a list 5m]",
)

cluster_options = _all(
    _kept("--kubeconfig", heading="Cluster", type=FilePath(), help="The kubeconfig file to use."),
    _kept(
        "--context",
        heading="Cluster",
        shell_complete=contexts,
        help="The context of the kubeconfig to use.",
    ),
    _timeout_option,
)

registry_argument = click.argument("registry", required=False, shell_complete=registries)

registry_options = _all(
    _kept(
        "--ca-file",
        heading="Registry",
        type=FilePath(),
        help="Trust only the certificates in this file.  [default: $REGCTL_CA_FILE]",
    ),
    _kept("--client-cert", heading="Registry", type=FilePath(), help="The client's certificate."),
    _kept("--client-key", heading="Registry", type=FilePath(), help="The client's private key."),
    _kept("--plain-http", heading="Registry", is_flag=True, help="Use HTTP instead of HTTPS."),
    _kept(
        "--insecure-skip-tls-verify",
        heading="Registry",
        is_flag=True,
        help="Trust any certificate. Unsafe.",
    ),
    _timeout_option,
)

# The places besides the auth file where users lose access, and how

access_options = _all(
    change_options("yes", "adopt"),
    option_group(
        "access",
        AccessFlags,
        auth_secret_option,
        reader_option,
        option(
            "--wait",
            type=DURATION,
            bare="5m",
            metavar="[=DURATION]",
            help="Try the passwords of pull secrets until the registry rejects them, for 5m at "
            "most.",
        ),
    ),
    target_options,
    workers_option,
    registry_options,
    cluster_options,
    output_option("json", "yaml", "name"),
)


# The trial of credentials before they are written

verification_options = _all(
    option_group(
        "trial",
        VerificationFlags,
        _registry("--no-verify", is_flag=True, help="Do not try credentials at their registries."),
        _registry(
            "--wait",
            type=DURATION,
            default=120.0,
            bare="5m",
            metavar="[=DURATION]",
            help="Try a rejected credential again for this long.  [default: 2m]",
        ),
    ),
    registry_options,
)


# Images in a registry

image_options = _all(
    credential_options, registry_options, output_option("table", "json", "yaml", "name")
)

image_list_options = _all(
    option_group(
        "selection",
        SelectionFlags,
        option("--long", is_flag=True, help="Show sizes, platforms, digests and ages, too."),
        option("--match", metavar="GLOB", help="List only names that match."),
    ),
    credential_options,
    registry_options,
    workers_option,
    output_option("table", "wide", "json", "yaml", "name"),
)
