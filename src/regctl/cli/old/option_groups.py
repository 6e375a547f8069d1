"""The options that mean the same everywhere: each is made here, once, for all commands."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from regctl.cli.app import App
from regctl.cli.completers import contexts, namespaces, registries
from regctl.cli.old.params import BARE_DRY_RUN, Bundle, F, FilePath, bundle, option
from regctl.errors import InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path

    from regctl.atomicfile import WriteOptions
    from regctl.cli.output import Format
    from regctl.cluster.namespaces import Targets


def output_option(*formats: "Format") -> Callable[[F], F]:
    """Add `-o`; the choice is set on the output before anything else is parsed."""

    def callback(ctx: click.Context, _param: click.Parameter, value: "Format | None") -> None:
        if value is not None:
            ctx.ensure_object(App).output.format = value

    return option(  # type: ignore[return-value]
        "-o",
        "--output",
        type=click.Choice(formats),
        expose_value=False,
        is_eager=True,
        callback=callback,
        heading="Output",
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
    bare="client",
    metavar="[=client|server]",
    help="Say what would be done, and do nothing; 'server' asks the API server too.",
)

yes_option = option("-y", "--yes", is_flag=True, help="Do not ask.")


# The auth file


class WritingOptions(Bundle):
    """How to write the auth file."""

    heading = "Writing"

    backup: bool
    in_place: bool

    def how(self) -> "WriteOptions":
        """Return them as the library takes them."""
        from regctl.atomicfile import WriteOptions

        return WriteOptions(backup=self.backup, in_place=self.in_place)


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

    heading = "Hashing"

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


# The cluster


class ClusterOptions(Bundle):
    """Which cluster, as kubectl takes it."""

    heading = "Cluster"

    kubeconfig: "Path | None"
    context: str | None
    timeout: float


cluster_options = bundle(
    "cluster_options",
    ClusterOptions,
    option("--kubeconfig", type=FilePath(), help="The kubeconfig file to use."),
    option("--context", shell_complete=contexts, help="The kubeconfig's context to use."),
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
    heading="Cluster",
    help="How many requests at once.",
)


# Namespaces


class TargetOptions(Bundle):
    """Which namespaces, as asked for."""

    heading = "Namespaces"

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
        from regctl.cluster.namespaces import Targets

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
        shell_complete=namespaces,
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
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        return data.decode()
    except OSError as error:
        raise InvalidInputError(f"cannot read {source}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"cannot read {source}: not UTF-8") from error


# Registries


class TransportOptions(Bundle):
    """How to speak to a registry. HTTPS with a trusted certificate unless told otherwise."""

    heading = "Connection to the registry"

    ca_file: "Path | None"
    client_cert: "Path | None"
    client_key: "Path | None"
    plain_http: bool
    insecure_skip_tls_verify: bool


registry_argument = click.argument("registry", required=False, shell_complete=registries)

transport_options = bundle(
    "transport",
    TransportOptions,
    option("--ca-file", type=FilePath(), help="Trust the certificates in this file."),
    option("--client-cert", type=FilePath(), help="The certificate to show."),
    option("--client-key", type=FilePath(), help="Its private key."),
    option("--plain-http", is_flag=True, help="Speak HTTP, not HTTPS."),
    option("--insecure-skip-tls-verify", is_flag=True, help="Trust any certificate. Unsafe."),
)
