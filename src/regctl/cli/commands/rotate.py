"""`regctl rotate`: a new password at both ends."""

import time
from math import ceil
from typing import TYPE_CHECKING, Any

import click

from regctl.cli.app import App, old_cluster, old_registry_as, pass_app
from regctl.cli.completers import users as users_there
from regctl.cli.listings import error_record
from regctl.cli.old.credential_options import PasswordOptions, password_options
from regctl.cli.old.option_groups import (
    ClusterOptions,
    TargetOptions,
    TransportOptions,
    cluster_options,
    dry_run_flag,
    file_option,
    output_option,
    target_options,
    transport_options,
    workers_option,
)
from regctl.cli.old.params import Command
from regctl.errors import InvalidInputError, RegctlError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from regctl.authsecret.store import UserStore
    from regctl.cluster.client import Cluster
    from regctl.credentials.credential import Credential
    from regctl.pullsecrets.inventory import Inventory
    from regctl.registry.client import RegistryClient
    from regctl.workflows.rotation_steps import StepResult


@click.command(
    cls=Command,
    examples=[
        "regctl rotate ci --server registry.foo.com --auth-secret registry/registry-basic-auth",
        "regctl rotate ci --server registry.foo.com -f auth -n team-a,team-b --dry-run",
        "regctl rotate ci --server registry.foo.com --keep-old",
        "regctl rotate ci --server registry.foo.com --finish",
    ],
)
@click.argument("name", shell_complete=users_there)
@click.option("--to", metavar="NAME", help="The new user.  [default: NAME-2, then NAME-3]")
@click.option(
    "--same-name",
    is_flag=True,
    help="Change the password in place; pulls fail until each Secret has it.",
)
@click.option("--server", metavar="REGISTRY", help="The registry.  [default: $REGCTL_REGISTRY]")
@file_option
@click.option(
    "--auth-secret",
    metavar="NS/NAME",
    help="The Secret that the registry's users are read from; with -f it is pushed from the file.",
)
@click.option("--for", "consumer", metavar="CONSUMER", help="Who reads that Secret.")
@click.option("--adopt", is_flag=True, help="Take over a Secret that somebody made by hand.")
@click.option("--keep-old", is_flag=True, help="Leave the old user; --finish removes it later.")
@click.option("--finish", is_flag=True, help="Remove the old user that --keep-old left.")
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long the old user stays after the last Secret changed.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait until the registry lets the new user in.",
)
@dry_run_flag
@password_options
@target_options
@workers_option
@transport_options
@cluster_options
@output_option("json", "yaml")
@pass_app
def rotate(
    app: App,
    *,
    name: str,
    to: str | None,
    same_name: bool,
    server: str | None,
    path: "Path | None",
    auth_secret: str | None,
    consumer: str | None,
    adopt: bool,
    keep_old: bool,
    finish: bool,
    grace: float,
    wait: float,
    dry_run: bool,
    password_options: PasswordOptions,
    target_options: TargetOptions,
    workers: int,
    transport: TransportOptions,
    cluster_options: ClusterOptions,
) -> None:
    """
    Give a user's pull secrets a new password, without a pull that fails.

    A new user is added beside the old one; when the registry lets it in, every pull secret that
    holds the old one gets it, is read again and tried, and after a while the old user is removed.
    Run again after an interruption, it goes on where it stopped. All namespaces but the system's
    are looked through unless some are named.
    """
    from regctl.cluster.namespaces import Targets
    from regctl.pullsecrets import inventory
    from regctl.pullsecrets.plan import TakeoverPolicy
    from regctl.workflows.rotation import InPlaceRotation, UserRotation, next_username
    from regctl.workflows.rotation_steps import RotationContext

    if keep_old and finish:
        raise InvalidInputError("--keep-old and --finish at once", hint="pass one of them")
    registry = app.named_registry(server)
    password = password_options.given(app)
    cluster = old_cluster(app, cluster_options)
    cluster.workers = workers
    targets = target_options.targets()
    if not targets.named and not targets.listed:
        targets = Targets(everywhere=True, exclude=targets.exclude)
    if same_name and (to or keep_old or finish):
        raise InvalidInputError(
            "--same-name with --to, --keep-old or --finish: there is no second user then"
        )
    new = name if same_name else to or next_username(name)
    if new == name and not same_name:
        raise InvalidInputError(
            f"cannot rotate {name} to itself", hint="--same-name changes its password in place"
        )

    def look() -> "Inventory":
        return inventory.list_pull_secrets(
            cluster, targets.resolve(cluster), everywhere=targets.listed
        )

    def connect(credential: "Credential") -> "RegistryClient":
        for secret in credential.sensitive_values:
            app.output.redact(secret)
        return old_registry_as(app, registry, credential, transport)

    context = RotationContext(
        _users(app, path, auth_secret, consumer, cluster, adopt=adopt),
        cluster,
        registry,
        look,
        connect,
        policy=TakeoverPolicy(adopt=adopt),
        grace=grace,
        timeout=wait,
        sleep=lambda seconds: _rest(app, seconds),
    )
    rotation = (
        InPlaceRotation(context, name)
        if same_name
        else UserRotation(context, name, new, keep_old=keep_old, finish=finish)
    )
    _tell(app, rotation.dry_run() if dry_run else rotation.run(password), dry_run=dry_run)


def _rest(app: App, seconds: float) -> None:
    """Wait; where that takes a while, with something to look at."""
    if seconds < 1:
        time.sleep(seconds)
        return
    with app.output.progress("seconds waited", ceil(seconds)) as advance:
        while seconds > 0:
            time.sleep(min(1, seconds))
            seconds -= 1
            advance()


def _users(
    app: App,
    path: "Path | None",
    auth_secret: str | None,
    consumer: str | None,
    cluster: "Cluster",
    *,
    adopt: bool,
) -> "UserStore":
    """Return where the users are: the file, the Secret, or the file and the Secret made of it."""
    from regctl.authfile import readers as consumers
    from regctl.authsecret.store import FileStore, SecretStore

    file = FileStore(app.auth_file(path))
    if auth_secret is None:
        return file
    namespace, slash, secret = auth_secret.partition("/")
    if not slash or not namespace or not secret:
        raise InvalidInputError(
            f"not a Secret: {auth_secret!r}", hint="--auth-secret takes NAMESPACE/NAME"
        )
    reader = consumers.DEFAULT if consumer is None else consumers.named(consumer)
    taken = file if path is not None or "REGCTL_AUTH_FILE" in app.environ else None
    return SecretStore(cluster, namespace, secret, reader, taken, adopt)


def _tell(app: App, events: "Iterator[StepResult]", *, dry_run: bool) -> None:
    """Print each event as it comes, or all of them as one document."""
    told: list[dict[str, Any]] = []
    failure: RegctlError | None = None
    try:
        for event in events:
            told.append(event.__dict__ | {"dry_run": dry_run})
            if not app.output.structured and not app.output.quiet:
                note = f" ({event.note})" if event.note else ""
                app.output.line(
                    f"{event.subject} {event.result}{note}{' (dry run)' if dry_run else ''}"
                )
                app.output.flush()
    except RegctlError as error:
        failure = error
    if app.output.structured:
        document: dict[str, Any] = {"steps": told}
        if failure is not None:
            document["error"] = error_record(failure)
        app.output.document(document)
    if failure is not None:
        raise failure
