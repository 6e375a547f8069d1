"""`regctl secret …`: pull secrets in the cluster."""

from typing import TYPE_CHECKING

import click

from regctl.cli._app import App, pass_app
from regctl.cli._options import (
    ClusterOptions,
    CredentialOptions,
    Noun,
    TargetOptions,
    cluster_options,
    credential_options,
    dry_run_option,
    output_option,
    target_options,
    workers_option,
    yes_option,
)
from regctl.cli._output import DryRun, Result
from regctl.errors import InvalidInputError, RegctlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from regctl.cluster import Namespace
    from regctl.pullsecrets import PullSecret
    from regctl.rollout import Outcome, Rollout

_MANY = 20


@click.group(cls=Noun)
def secret() -> None:
    """Pull secrets: the registry's password in every namespace that pulls from it."""


server_option = click.option(
    "--server",
    "--docker-server",
    "server",
    metavar="REGISTRY",
    help="The registry.  [default: $REGCTL_REGISTRY]",
)


@secret.command(
    examples=[
        "regctl secret create --server registry.foo.com --username alice -n team-a,team-b",
        "regctl secret create --server registry.foo.com -A --service-account default",
        "regctl secret create regcred --server registry.foo.com -n web --dry-run=client -o yaml",
    ],
)
@click.argument("name", required=False)
@server_option
@credential_options
@click.option("--email", "--docker-email", "email", help="The user's e-mail; few registries ask.")
@target_options
@click.option("--merge", is_flag=True, help="Keep entries for other registries that are there.")
@click.option("--adopt", is_flag=True, help="Take over a Secret that somebody made by hand.")
@click.option("--replace", is_flag=True, help="Delete and create where it can't be changed.")
@click.option("--append-hash", is_flag=True, help="Append a hash of the content to the name.")
@click.option(
    "--service-account",
    multiple=True,
    metavar="NAME",
    help="Let this account's new pods use the Secret; repeatable.",
)
@click.option("--all-service-accounts", is_flag=True, help="Let every account's new pods use it.")
@dry_run_option
@yes_option
@output_option("json", "yaml", "name")
@workers_option
@cluster_options
@pass_app
def create(
    app: App,
    *,
    name: str | None,
    server: str | None,
    credential: CredentialOptions,
    email: str | None,
    target_options: TargetOptions,
    merge: bool,
    adopt: bool,
    replace: bool,
    append_hash: bool,
    service_account: tuple[str, ...],
    all_service_accounts: bool,
    dry_run: DryRun | None,
    yes: bool,
    workers: int,
    cluster_options: ClusterOptions,
) -> None:
    """Create or update a pull secret in one, several or all namespaces."""
    from regctl import rollout
    from regctl.pullsecrets import Policy

    if target_options.from_stdin and credential.password_options.password_stdin:
        raise InvalidInputError("standard input can't hold both a password and namespaces")
    targets = target_options.targets()
    desired = _desired(app, name, server, credential, email, merge=merge)
    if append_hash:
        desired = desired.with_hash()
    if dry_run == "client" and app.output.structured:
        offline = targets.named and not targets.listed
        namespaces = targets.offline() if offline else targets.resolve(app.cluster(cluster_options))
        app.output.manifests([desired.manifest(namespace.name) for namespace in namespaces])
        return
    cluster = app.cluster(cluster_options)
    namespaces = targets.resolve(cluster)
    if dry_run is None:
        _show_many(app, namespaces, yes=yes)
    _carry_out(
        app,
        rollout.prepare(
            cluster,
            desired,
            namespaces,
            policy=Policy(adopt=adopt, replace=replace),
            accounts=rollout.Accounts(service_account, every=all_service_accounts),
            workers=workers,
        ),
        dry_run,
    )


def _desired(
    app: App,
    name: str | None,
    server: str | None,
    credential: CredentialOptions,
    email: str | None,
    *,
    merge: bool,
) -> "PullSecret":
    """Return the pull secret that the flags ask for."""
    import dataclasses

    from regctl.pullsecrets import PullSecret, default_name, registry_key
    from regctl.reference import Registry

    server = server or app.environ.get("REGCTL_REGISTRY")
    if not server:
        raise InvalidInputError("which registry?", hint="pass --server or set $REGCTL_REGISTRY")
    key = registry_key(server)
    name = default_name(key) if name is None else name
    found = credential.require(app, Registry.parse(key.replace("*", "x")))
    if email is not None:
        found = dataclasses.replace(found, email=email)
    return PullSecret(name, {key: found}, merge=merge)


def _show_many(app: App, namespaces: "Sequence[Namespace]", *, yes: bool) -> None:
    """Show a person the namespaces before many are changed."""
    if yes or len(namespaces) <= _MANY or not app.interactive:
        return
    names = " ".join(namespace.name for namespace in namespaces)
    app.output.note(f"{len(namespaces)} namespaces: {names}")
    app.confirm(f"Go on in {len(namespaces)} namespaces?", yes=yes)


def _carry_out(app: App, rollout: "Rollout", dry_run: DryRun | None) -> None:
    """Run a rollout under a progress bar and print what became of each namespace."""
    outcomes: list[Outcome] = []
    try:
        with app.output.progress(
            f"secret {rollout.desired.name}", len(rollout.observed.namespaces)
        ) as advance:
            for some in rollout.run(dry_run):
                outcomes += some
                advance()
    except KeyboardInterrupt:
        _print_interrupted(app, outcomes, dry_run)
        raise
    app.output.results(_results(outcomes), dry_run=dry_run)


def _print_interrupted(app: App, outcomes: "list[Outcome]", dry_run: DryRun | None) -> None:
    try:
        app.output.results(_results(outcomes), dry_run=dry_run)
    except RegctlError as error:
        # What is wrong is that it was interrupted; the caller says so.
        app.output.error(error)


def _results(outcomes: "Iterable[Outcome]") -> list[Result]:
    ordered = sorted(outcomes, key=lambda o: (o.namespace, o.kind != "secret", o.name))
    return [
        Result(
            outcome.kind,
            outcome.name,
            outcome.result,
            namespace=outcome.namespace,
            note=outcome.note,
            error=outcome.error,
        )
        for outcome in ordered
    ]
