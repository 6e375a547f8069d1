"""`regctl rotate`: a new password for a user and its pull secrets."""

import time
from collections.abc import Iterator
from math import ceil
from typing import TYPE_CHECKING, Any

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.completers import registries, users
from regctl.cli.options import (
    ChangeFlags,
    NamespacedName,
    PasswordFlags,
    TargetFlags,
    at_most_one,
)
from regctl.cli.params import (
    DURATION,
    auth_secret_option,
    change_options,
    cluster_options,
    file_option,
    output_option,
    password_options,
    reader_option,
    registry_options,
    target_options,
    workers_option,
)
from regctl.cli.rendering import error_record
from regctl.errors import InvalidInputError, RegctlError

if TYPE_CHECKING:
    from pathlib import Path

    from regctl.authsecret.store import UserStore
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
@click.argument("name", shell_complete=users)
@option("--to", metavar="NAME", help="The new user.  [default: NAME-2, then NAME-3]")
@option(
    "--same-name",
    is_flag=True,
    help="Change the password in place. Pulls fail until each pull secret has it.",
)
@option(
    "--server",
    metavar="REGISTRY",
    shell_complete=registries,
    help="The registry.  [default: $REGCTL_REGISTRY]",
)
@file_option
@auth_secret_option
@reader_option
@option("--keep-old", is_flag=True, help="Keep the old user; --finish removes it later.")
@option("--finish", is_flag=True, help="Remove the old user that --keep-old kept.")
@option(
    "--unseen",
    is_flag=True,
    help="Let --finish remove it although some namespaces cannot be read.",
)
@option(
    "--grace",
    type=DURATION,
    default=600.0,
    metavar="DURATION",
    help="Keep the old user this long after the last update: longer than the longest pull takes."
    "  [default: 10m]",
)
@option(
    "--wait",
    type=DURATION,
    default=300.0,
    bare="5m",
    metavar="[=DURATION]",
    help="Wait this long for the registry to accept the new user, and to reject the old one."
    "  [default: 5m]",
)
@change_options("adopt")
@password_options
@target_options
@workers_option
@registry_options
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
    auth_secret: NamespacedName | None,
    reader: str | None,
    keep_old: bool,
    finish: bool,
    unseen: bool,
    grace: float,
    wait: float,
    change: ChangeFlags,
    password_flags: PasswordFlags,
    targets: TargetFlags,
) -> None:
    """
    Rotate a user's password without a failed pull.

    Adds a new user beside the old one and waits until the registry accepts it. Then updates and
    verifies the pull secrets in the namespaces that have the old user with a password that works.
    After a grace period, which must exceed the longest pull, it removes the old user, and waits
    until the registry rejects it. The new password is generated, unless --password-stdin or
    --password-file gives one; $REGCTL_PASSWORD does not.

    Without namespaces it updates all of them, except kube-* and openshift-*. It always looks in
    all, and keeps the old user while a pull secret anywhere has it. A user who may not list all
    secrets cannot remove the old user, except with --finish --unseen.

    NAME also finds the user that has replaced NAME, so the same command can run every month. An
    interrupted rotation continues when you run it again, and waits the whole grace period again.
    A user whose password no pull secret has is replaced by the next one, never given another
    password: a second rotation may be under way.
    With --auth-secret and -f it changes the file and uploads it to the Secret. It also updates the
    old user's login in docker's config.
    """
    from regctl.workflows.holders import survey
    from regctl.workflows.rotation import InPlaceRotation, Rotation, UserRotation
    from regctl.workflows.rotation_steps import RotationSteps

    at_most_one({"--same-name": same_name, "--to": to})
    at_most_one({"--same-name": same_name, "--keep-old": keep_old, "--finish": finish})
    if unseen and not finish:
        raise InvalidInputError("--unseen needs --finish", hint="pass both")
    registry = app.named_registry(server, source="--server")
    # $REGCTL_PASSWORD may be one that is in use.
    password = app.password(password_flags) if password_flags.given else None
    where = app.targets(targets).or_everywhere()
    steps = RotationSteps(
        _store(app, path, auth_secret, reader, adopt=change.adopt),
        app.cluster,
        registry,
        find=lambda: survey(app.cluster, where),
        connect=lambda credential: app.registry_as(registry, credential),
        login=app.docker_config,
        warn=app.output.warning,
        adopt=change.adopt,
        grace=grace,
        timeout=wait,
        dry_run=change.dry_run is not None,
        sleep=lambda seconds: _sleep(app, seconds),
    )
    rotation: Rotation = InPlaceRotation(steps, name)
    if not same_name:
        rotation = UserRotation(steps, name, to, keep_old, finish, unseen)
    _print_steps(app, rotation.run(password), dry_run=steps.dry_run)


def _store(
    app: App,
    path: "Path | None",
    auth_secret: NamespacedName | None,
    reader: str | None,
    *,
    adopt: bool,
) -> "UserStore":
    """Return the store of the users: the file, the Secret, or the Secret with its file."""
    from regctl.authfile import readers
    from regctl.authsecret.store import FileStore, SecretStore

    file = FileStore(app.auth_file(path), app.today())
    if auth_secret is None:
        return file
    source = file if path is not None or "REGCTL_AUTH_FILE" in app.environ else None
    return SecretStore(app.cluster, *auth_secret, readers.get_reader(reader), source, adopt)


def _sleep(app: App, seconds: float) -> None:
    """Sleep, with a progress bar if it takes a second or more."""
    description = "seconds waited" if seconds >= 1 else None
    with app.output.progress(description, ceil(seconds)) as advance:
        while seconds > 0:
            time.sleep(min(1, seconds))
            seconds -= 1
            advance()


def _print_steps(app: App, results: "Iterator[StepResult]", *, dry_run: bool) -> None:
    """Print each result when its step is done, or all of them as one document."""
    steps: list[dict[str, Any]] = []
    document: dict[str, Any] = {"steps": steps}
    try:
        for result in results:
            steps.append(vars(result) | {"dry_run": dry_run})
            if not app.output.structured and not app.output.quiet:
                app.output.outcome_line(result, "client" if dry_run else None)
                app.output.flush()
    except RegctlError as error:
        document["error"] = error_record(error)
        raise
    finally:
        if app.output.structured:
            app.output.document(document)
