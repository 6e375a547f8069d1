"""`regctl secret …`: pull secrets in the cluster."""

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from regctl.cli.app import App, old_cluster, pass_app
from regctl.cli.humanize import age
from regctl.cli.listings import Column
from regctl.cli.old.credential_options import CredentialOptions, credential_options
from regctl.cli.old.option_groups import (
    ClusterOptions,
    TargetOptions,
    cluster_options,
    dry_run_option,
    output_option,
    target_options,
    workers_option,
    yes_option,
)
from regctl.cli.old.params import Bundle, Command, bundle
from regctl.cli.pull_secrets import (
    carried_out,
    confirm_deletion,
    interrupted,
    look,
    raise_if_unreadable,
    report_drift,
    results,
    unreadable,
)
from regctl.errors import InvalidInputError
from regctl.outcome import DryRun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from regctl.cluster.namespaces import Targets
    from regctl.cluster.serviceaccounts import Accounts
    from regctl.credentials.credential import Credential
    from regctl.outcome import Outcome
    from regctl.pullsecrets.inventory import PullSecretUse
    from regctl.pullsecrets.plan import PullSecret, TakeoverPolicy
    from regctl.pullsecrets.rollout import Rollout

_MANY = 20


class WantedOptions(Bundle):
    """The pull secret that is wanted, and what may be done for it."""

    name: str | None
    server: str | None
    credential: CredentialOptions
    email: str | None
    from_secret: str | None
    merge: bool
    adopt: bool
    replace: bool
    append_hash: bool
    service_account: tuple[str, ...]
    all_service_accounts: bool

    def desired(self, app: App, cluster_options: ClusterOptions) -> "PullSecret":
        """Return the pull secret; its credential may come from another Secret in the cluster."""
        from regctl.pullsecrets.plan import PullSecret, default_name, registry_key
        from regctl.reference import Registry

        server = self.server or app.environ.get("REGCTL_REGISTRY")
        if self.from_secret is not None:
            only = registry_key(self.server) if self.server else None
            name, credentials = self._copied(app, cluster_options, only)
        elif not server:
            raise InvalidInputError("which registry?", hint="pass --server or set $REGCTL_REGISTRY")
        else:
            key = registry_key(server)
            name = default_name(key)
            if self.name is not None:
                PullSecret(self.name, {})
            found = self.credential.require(app, Registry.parse(key.replace("*", "x")))
            credentials = {key: found}
        if self.email is not None:
            credentials = {
                key: dataclasses.replace(one, email=self.email) for key, one in credentials.items()
            }
        desired = PullSecret(
            name if self.name is None else self.name, credentials, merge=self.merge
        )
        return desired.with_hash() if self.append_hash else desired

    def _copied(
        self, app: App, cluster_options: ClusterOptions, key: str | None
    ) -> "tuple[str, Mapping[str, Credential]]":
        from regctl.pullsecrets import rollout

        namespace, slash, name = (self.from_secret or "").partition("/")
        if not (namespace and slash and name) or "/" in name:
            raise InvalidInputError(
                f"not a Secret: {self.from_secret!r}", hint="pass --from-secret NAMESPACE/NAME"
            )
        if self.credential.given:
            raise InvalidInputError(
                "the credential can't come from --from-secret and from flags at once",
                hint="pass one of them",
            )
        credentials = rollout.read_credentials(
            old_cluster(app, cluster_options), namespace, name, key
        )
        for credential in credentials.values():
            for hidden in credential.sensitive_values:
                app.output.redact(hidden)
        return name, credentials

    @property
    def policy(self) -> "TakeoverPolicy":
        """What may be done to Secrets of others."""
        from regctl.pullsecrets.plan import TakeoverPolicy

        return TakeoverPolicy(adopt=self.adopt, replace=self.replace)

    @property
    def accounts(self) -> "Accounts":
        """Which service accounts shall use it."""
        from regctl.cluster.serviceaccounts import Accounts

        return Accounts(self.service_account, every=self.all_service_accounts)


_server_option = click.option(
    "--server",
    "--docker-server",
    "server",
    metavar="REGISTRY",
    help="The registry.  [default: $REGCTL_REGISTRY]",
)


wanted_options = bundle(
    "wanted",
    WantedOptions,
    click.argument("name", required=False),
    _server_option,
    credential_options,
    click.option(
        "--email", "--docker-email", "email", help="The user's e-mail; few registries ask."
    ),
    click.option(
        "--from-secret", metavar="NS/NAME", help="Take the credential from this Secret instead."
    ),
    click.option("--merge", is_flag=True, help="Keep what a Secret holds for other registries."),
    click.option("--adopt", is_flag=True, help="Take over a Secret that somebody made by hand."),
    click.option("--replace", is_flag=True, help="Delete and create where it can't be changed."),
    click.option("--append-hash", is_flag=True, help="Append a hash of the content to the name."),
    click.option(
        "--service-account",
        multiple=True,
        metavar="NAME",
        help="Let this account's new pods use the Secret; repeatable.",
    ),
    click.option(
        "--all-service-accounts", is_flag=True, help="Let every account's new pods use it."
    ),
)


@click.command(
    cls=Command,
    examples=[
        "regctl secret create --server registry.foo.com --username alice -n team-a,team-b",
        "regctl secret create --server registry.foo.com -A --service-account default",
        "regctl secret create --from-secret infra/registry.foo.com -l pulls=yes",
        "regctl secret create regcred --server registry.foo.com -n web --dry-run=client -o yaml",
    ],
)
@wanted_options
@target_options
@dry_run_option
@yes_option
@output_option("json", "yaml", "name")
@workers_option
@cluster_options
@pass_app
def create(
    app: App,
    *,
    wanted: WantedOptions,
    target_options: TargetOptions,
    dry_run: DryRun | None,
    yes: bool,
    workers: int,
    cluster_options: ClusterOptions,
) -> None:
    """Create or update a pull secret in one, several or all namespaces."""
    targets = _targets(target_options, wanted.credential)
    if dry_run == "client" and app.output.structured and targets.named and not targets.listed:
        desired = wanted.desired(app, cluster_options)
        app.output.manifests([desired.manifest(space.name) for space in targets.offline()])
        return
    rollout = _prepared(app, wanted, targets, cluster_options, workers)
    if dry_run == "client" and app.output.structured:
        spaces = rollout.observed.namespaces
        app.output.manifests([rollout.desired.manifest(space.name) for space in spaces])
        return
    if dry_run is None:
        _show_many(app, [space.name for space in rollout.observed.namespaces], yes=yes)
    outcomes = carried_out(app, rollout, dry_run)
    app.output.results(results(outcomes), dry_run=dry_run)


@click.command(
    cls=Command,
    examples=[
        "regctl secret diff --server registry.foo.com -A",
        "regctl secret diff regcred --server registry.foo.com -n team-a --service-account default",
    ],
)
@wanted_options
@target_options
@output_option("json", "yaml", "name")
@workers_option
@cluster_options
@pass_app
def diff(
    app: App,
    *,
    wanted: WantedOptions,
    target_options: TargetOptions,
    workers: int,
    cluster_options: ClusterOptions,
) -> None:
    """Say what `secret create` would change; exit with 1 where anything would be."""
    targets = _targets(target_options, wanted.credential)
    rollout = _prepared(app, wanted, targets, cluster_options, workers)
    outcomes = carried_out(app, rollout, "client")
    report_drift(app, outcomes)


@click.command(
    "list",
    cls=Command,
    examples=[
        "regctl secret list -A",
        "regctl secret list registry.foo.com -n team-a,team-b",
        "regctl secret list -A --server registry.foo.com -o wide",
    ],
)
@click.argument("name", required=False)
@click.option("--server", metavar="REGISTRY", help="Only Secrets that hold this registry.")
@target_options
@output_option("table", "wide", "json", "yaml", "name")
@workers_option
@cluster_options
@pass_app
def list_(
    app: App,
    *,
    name: str | None,
    server: str | None,
    target_options: TargetOptions,
    workers: int,
    cluster_options: ClusterOptions,
) -> None:
    """List pull secrets: registries, users, age, the accounts that use them, and whose they are."""
    from regctl.credentials.kubelet import kubelet_key
    from regctl.pullsecrets.plan import registry_key

    found = look(app, name, target_options, cluster_options, workers)
    items = list(found.items)
    if server is not None:
        wanted = kubelet_key(registry_key(server))
        items = [item for item in items if wanted in {kubelet_key(key) for key in item.registries}]
    app.output.listing(
        items,
        [
            Column("NAMESPACE", lambda i: i.secret.namespace),
            Column("NAME", lambda i: i.secret.name),
            Column("REGISTRIES", lambda i: ",".join(i.registries)),
            Column("USER", lambda i: ",".join(i.users)),
            Column("AGE", lambda i: age(i.secret.created)),
            Column(
                "ACCOUNTS",
                lambda i: "?" if i.account_names is None else ",".join(i.account_names),
            ),
            Column("STATE", lambda i: i.state, style=_state_style),
            Column("TYPE", lambda i: i.secret.type.removeprefix("kubernetes.io/"), wide=True),
            Column("PROBLEM", lambda i: i.broken or "", wide=True),
        ],
        key="secrets",
        name=lambda i: f"{i.secret.namespace}/secret/{i.secret.name}",
        record=_item_record,
    )
    if not items and not found.errors:
        app.output.note("there are no such pull secrets")
    raise_if_unreadable(app, found)


def _state_style(item: "PullSecretUse") -> str:
    return "red" if item.broken else ("" if item.state == "regctl" else "yellow")


def _item_record(item: "PullSecretUse") -> dict[str, Any]:
    secret = item.secret
    return {
        "namespace": secret.namespace,
        "name": secret.name,
        "type": secret.type,
        "registries": list(item.registries),
        "users": list(item.users),
        "created": secret.created.isoformat() if secret.created else None,
        "accounts": None if item.account_names is None else list(item.account_names),
        "state": item.state,
        "problem": item.broken,
    }


@click.command(
    cls=Command,
    examples=[
        "regctl secret delete registry.foo.com -n team-a",
        "regctl secret delete registry.foo.com -A --dry-run",
        "regctl secret delete regcred -l team=blue --yes",
    ],
)
@click.argument("name")
@target_options
@click.option("--adopt", is_flag=True, help="Delete one that somebody made by hand, too.")
@dry_run_option
@yes_option
@output_option("json", "yaml", "name")
@workers_option
@cluster_options
@pass_app
def delete(
    app: App,
    *,
    name: str,
    target_options: TargetOptions,
    adopt: bool,
    dry_run: DryRun | None,
    yes: bool,
    workers: int,
    cluster_options: ClusterOptions,
) -> None:
    """Delete a pull secret, detached first from the accounts that use it."""
    from regctl.cluster.resource import check_object_name
    from regctl.pullsecrets import inventory

    check_object_name(name, "Secret")
    cluster = old_cluster(app, cluster_options)
    found = look(app, name, target_options, cluster_options, workers, cluster=cluster)
    removable = [
        item for item in found.items if inventory.deletion_refusal(item, adopt=adopt) is None
    ]
    if removable and dry_run is None:
        confirm_deletion(app, removable, yes=yes)
    outcomes: list[Outcome] = []
    with interrupted(app, outcomes, dry_run):
        for some in inventory.delete(cluster, found.items, adopt=adopt, dry_run=dry_run):
            outcomes += some
    if not found.items and not found.errors:
        app.output.note(f"there is no secret {name} to delete")
    app.output.results([*results(outcomes), *unreadable(name, found)], dry_run=dry_run)


def _targets(options: TargetOptions, credential: CredentialOptions) -> "Targets":
    if options.from_stdin and credential.password_options.password_stdin:
        raise InvalidInputError("standard input can't hold both a password and namespaces")
    return options.targets()


def _prepared(
    app: App,
    wanted: WantedOptions,
    targets: "Targets",
    cluster_options: ClusterOptions,
    workers: int,
) -> "Rollout":
    """Look at what is there and return the rollout of what is wanted."""
    from regctl.pullsecrets import rollout

    desired = wanted.desired(app, cluster_options)
    cluster = old_cluster(app, cluster_options)
    cluster.workers = workers
    return rollout.prepare(
        cluster,
        desired,
        targets.resolve(cluster),
        policy=wanted.policy,
        accounts=wanted.accounts,
    )


def _show_many(app: App, names: "Sequence[str]", *, yes: bool) -> None:
    """Show a person the namespaces before many are changed."""
    if yes or len(names) <= _MANY or not app.interactive:
        return
    app.output.note(f"{len(names)} namespaces: {' '.join(names)}")
    app.confirm(f"Go on in {len(names)} namespaces?", yes=yes)
