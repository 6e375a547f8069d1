"""`regctl auth push`, `auth pull` and `auth diff`: the auth file and the Secret of it."""

from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, old_cluster, pass_app
from regctl.cli.commands.auth.check import consumer_option
from regctl.cli.listings import Column
from regctl.cli.old.option_groups import (
    ClusterOptions,
    WritingOptions,
    cluster_options,
    dry_run_flag,
    dry_run_option,
    file_option,
    output_option,
    writing_options,
    yes_option,
)
from regctl.cli.old.params import Command, option
from regctl.cli.output import Result
from regctl.errors import DifferenceError, InvalidInputError
from regctl.outcome import DryRun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from regctl.authfile.htpasswd import HtpasswdFile
    from regctl.authfile.readers import AuthFileReader
    from regctl.authsecret.compare import UserChange
    from regctl.authsecret.push import Push
    from regctl.cluster.namespaces import Targets

_SHOWN = 10

namespace_option = option(
    "-n",
    "--namespace",
    multiple=True,
    metavar="NS[,NS...]",
    help="The namespace of the Secret.  [default: the context's]",
)
secret_option = option(
    "--secret",
    metavar="NAME",
    default="registry-basic-auth",
    show_default=True,
    help="The Secret's name.",
)


def _consumer(name: str | None) -> "AuthFileReader":
    from regctl.authfile import readers as consumers

    return consumers.DEFAULT if name is None else consumers.named(name)


def _targets(namespace: "Sequence[str]") -> "Targets":
    from regctl.cluster.namespaces import Targets

    return Targets(tuple(dict.fromkeys(name for text in namespace for name in text.split(","))))


@click.command(
    cls=Command,
    examples=[
        "regctl auth push -n registry",
        "regctl auth push -n registry --secret registry-users --for traefik --yes",
        "regctl auth push -n registry --dry-run=client -o yaml | kubeseal -o yaml",
    ],
)
@file_option
@namespace_option
@secret_option
@consumer_option
@click.option("--adopt", is_flag=True, help="Take over a Secret that somebody made by hand.")
@dry_run_option
@yes_option
@output_option("json", "yaml", "name")
@cluster_options
@pass_app
def push(
    app: App,
    *,
    path: "Path | None",
    namespace: tuple[str, ...],
    secret: str,
    consumer: str | None,
    adopt: bool,
    dry_run: DryRun | None,
    yes: bool,
    cluster_options: ClusterOptions,
) -> None:
    """
    Bring the open users of the auth file to the Secret that their reader reads.

    The shape is that of ingress-nginx, which serves most others too, or the one of --for. What the
    reader could not use is refused before anything is sent. The Secret is changed in place: users
    notice nothing. Who would be shut out is shown first.
    """
    from regctl.authfile.htpasswd import HtpasswdFile
    from regctl.authsecret.push import prepare
    from regctl.authsecret.secret import AuthSecret
    from regctl.cluster.resource import check_object_name

    check_object_name(secret, "Secret")
    file = HtpasswdFile.read(app.auth_file(path))
    desired = AuthSecret.of(file, _consumer(consumer))
    targets = _targets(namespace)
    if dry_run == "client" and app.output.structured and targets.named:
        app.output.manifests([desired.manifest(space.name, secret) for space in targets.offline()])
        return
    cluster = old_cluster(app, cluster_options)
    secrets = [(space.name, secret) for space in targets.resolve(cluster)]
    pushing = prepare(cluster, desired, secrets, adopt=adopt)
    _try_passwords(app, pushing)
    _warn_of_expired(app, file)
    if dry_run is None:
        _confirm_removals(app, pushing, yes=yes)
    app.output.results(
        [
            Result(
                outcome.kind,
                outcome.name,
                outcome.result,
                namespace=outcome.namespace,
                note=outcome.note,
                error=outcome.error,
                details=outcome.details,
            )
            for outcome in pushing.run(dry_run)
        ],
        dry_run=dry_run,
    )


def _try_passwords(app: App, push: "Push") -> None:
    total = len(push.desired.hashes)
    with app.output.progress("trying the empty password", total) as advance:
        push.check_empty_passwords(advance)


def _warn_of_expired(app: App, file: "HtpasswdFile") -> None:
    today = app.today()
    expired = [user.name for user in file.users() if user.state(today) == "expired"]
    if expired:
        app.output.warning(
            f"expired, and let in: {_some(expired)}; `regctl auth expire` locks them"
        )


def _confirm_removals(app: App, push: "Push", *, yes: bool) -> None:
    told = [
        f"{_some(change.removed)} in {change.namespace}/secret/{change.name}"
        for change in push.changes
        if change.action == "update" and change.removed
    ]
    if told:
        app.confirm(f"shut out {' and '.join(told)}?", yes=yes)


def _some(names: "Sequence[str]") -> str:
    more = len(names) - _SHOWN
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown


def _one_namespace(app: App, namespace: "Sequence[str]", cluster_options: ClusterOptions) -> str:
    """Return the one namespace that is meant."""
    named = _targets(namespace).named
    if len(named) > 1:
        raise InvalidInputError("which namespace? several are named", hint="pass -n once")
    return named[0] if named else old_cluster(app, cluster_options).context_namespace


@click.command(
    cls=Command,
    examples=[
        "regctl auth pull -n registry",
        "regctl auth pull -n registry -f auth.from-cluster",
    ],
)
@file_option
@namespace_option
@secret_option
@consumer_option
@writing_options
@dry_run_flag
@yes_option
@output_option("json", "yaml", "name")
@cluster_options
@pass_app
def pull(
    app: App,
    *,
    path: "Path | None",
    namespace: tuple[str, ...],
    secret: str,
    consumer: str | None,
    writing: WritingOptions,
    dry_run: bool,
    yes: bool,
    cluster_options: ClusterOptions,
) -> None:
    """
    Fetch the users of the Secret into the auth file.

    A file that lets in others is changed only after a question; its comments and locked users stay.
    """
    from regctl import atomicfile
    from regctl.authfile.htpasswd import HtpasswdFile
    from regctl.authsecret.compare import compare, merge
    from regctl.authsecret.secret import fetch, read

    file, reader = app.auth_file(path), _consumer(consumer)
    where = _one_namespace(app, namespace, cluster_options)
    local = atomicfile.read(file)
    remote = read(fetch(old_cluster(app, cluster_options), where, secret), reader)
    content = merge(local, remote, reader)
    changes = compare(HtpasswdFile(local or b""), HtpasswdFile(content))
    note = _words(changes)
    if content != local and not dry_run:
        if local is not None:
            app.confirm(f"change {file} ({note or 'the same users'})?", yes=yes)
        atomicfile.swap(file, local, content, writing.how())
    app.output.results(
        [
            Result(
                "file",
                str(file),
                "created" if local is None else "unchanged" if content == local else "configured",
                note=note or None,
                details={"users": [change._asdict() for change in changes]},
            )
        ],
        dry_run="client" if dry_run else None,
    )


def _words(changes: "Sequence[UserChange]") -> str:
    by_change: dict[str, list[str]] = {}
    for change in changes:
        by_change.setdefault(change.change, []).append(change.name)
    return ", ".join(f"{change} {_some(names)}" for change, names in by_change.items())


@click.command(
    cls=Command,
    examples=["regctl auth diff -n registry", "regctl auth diff -n registry -o json"],
)
@file_option
@namespace_option
@secret_option
@consumer_option
@output_option("table", "json", "yaml", "name")
@cluster_options
@pass_app
def diff(
    app: App,
    *,
    path: "Path | None",
    namespace: tuple[str, ...],
    secret: str,
    consumer: str | None,
    cluster_options: ClusterOptions,
) -> None:
    """
    Say which users `auth push` would let in, shut out or give another password.

    The exit code is 1 where there is a difference. A hash that was made anew counts as changed,
    also where the password is the same.
    """
    from regctl.authfile.htpasswd import HtpasswdFile
    from regctl.authsecret.compare import compare
    from regctl.authsecret.secret import fetch, read

    file = app.auth_file(path)
    local = HtpasswdFile.read(file)
    where = _one_namespace(app, namespace, cluster_options)
    there = fetch(old_cluster(app, cluster_options), where, secret)
    changes = compare(read(there, _consumer(consumer)), local)
    app.output.listing(
        changes,
        [
            Column("USER", lambda change: change.name),
            Column("CHANGE", lambda change: change.change, style=lambda _: "yellow"),
        ],
        key="differences",
        name=lambda change: change.name,
        record=lambda change: change._asdict(),
    )
    if changes:
        some = f"{len(changes)} user" + ("" if len(changes) == 1 else "s")
        raise DifferenceError(
            f"{file} and {where}/secret/{secret} differ in {some}",
            hint="`regctl auth push` brings the file there, `regctl auth pull` the Secret here",
        )
