"""`regctl secret …`: pull secrets in the cluster."""

import dataclasses
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from regctl.cli._app import App, pass_app
from regctl.cli._options import (
    Bundle,
    ClusterOptions,
    CredentialOptions,
    Noun,
    TargetOptions,
    TransportOptions,
    bundle,
    cluster_options,
    credential_options,
    dry_run_option,
    output_option,
    target_options,
    transport_options,
    workers_option,
    yes_option,
)
from regctl.cli._output import Column, DryRun, Result, error_record
from regctl.errors import DifferenceError, InvalidInputError, PartlyDoneError, RegctlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from regctl.cluster import Cluster
    from regctl.credentials import Credential
    from regctl.inventory import Inventory, Item
    from regctl.pullsecrets import Policy, PullSecret
    from regctl.reference import Registry
    from regctl.rollout import Accounts, Outcome, Rollout
    from regctl.secretcheck import Finding, Trial
    from regctl.targets import Targets

_MANY = 20


@click.group(cls=Noun)
def secret() -> None:
    """Pull secrets: the registry's password in every namespace that pulls from it."""


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
        from regctl.pullsecrets import PullSecret, default_name, registry_key
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
        from regctl import rollout

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
        credentials = rollout.copied(app.cluster(cluster_options), namespace, name, key)
        for credential in credentials.values():
            for hidden in credential.secrets:
                app.output.conceal(hidden)
        return name, credentials

    @property
    def policy(self) -> "Policy":
        """What may be done to Secrets of others."""
        from regctl.pullsecrets import Policy

        return Policy(adopt=self.adopt, replace=self.replace)

    @property
    def accounts(self) -> "Accounts":
        """Which service accounts shall use it."""
        from regctl.rollout import Accounts

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


@secret.command(
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
    outcomes = _carried_out(app, rollout, dry_run)
    app.output.results(_results(outcomes), dry_run=dry_run)


@secret.command(
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
    outcomes = _carried_out(app, rollout, "client")
    _report_drift(app, outcomes)


def _report_drift(app: App, outcomes: "Sequence[Outcome]") -> None:
    """List what is not as it shall be, and raise DifferenceError where anything is."""
    ordered = _ordered(outcomes)
    drifted = [outcome for outcome in ordered if outcome.result not in {"unchanged", "skipped"}]
    app.output.listing(
        drifted,
        [
            Column("NAMESPACE", lambda o: o.namespace),
            Column("OBJECT", lambda o: f"{o.kind}/{o.name}"),
            Column("WOULD BE", lambda o: o.result, style=lambda _: "yellow"),
            Column("BECAUSE", _because),
        ],
        key="differences",
        name=lambda o: f"{o.namespace}/{o.kind}/{o.name}",
        record=lambda o: {
            "namespace": o.namespace,
            "kind": o.kind,
            "name": o.name,
            "result": o.result,
            "differences": [str(difference) for difference in o.differences],
            "note": o.note,
            "error": error_record(o.error) if o.error else None,
        },
    )
    failed = [outcome.error for outcome in drifted if outcome.result == "failed" and outcome.error]
    if failed:
        if len(failed) == len(ordered) == 1:
            raise failed[0]
        raise PartlyDoneError(f"{len(failed)} of {len(ordered)} could not be compared")
    if drifted:
        raise DifferenceError(
            f"{len(drifted)} of {len(ordered)} differ",
            hint="the same flags to `regctl secret create` make them the same",
        )


def _because(outcome: "Outcome") -> str:
    reasons = [str(difference) for difference in outcome.differences]
    if outcome.error is not None:
        reasons.append(outcome.error.message)
    return "; ".join(reasons)


@secret.command(
    name="list",
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
    from regctl.keyring import effective_key
    from regctl.pullsecrets import registry_key

    found = _inventory(app, name, target_options, cluster_options, workers)
    items = list(found.items)
    if server is not None:
        wanted = effective_key(registry_key(server))
        items = [
            item for item in items if wanted in {effective_key(key) for key in item.registries}
        ]
    app.output.listing(
        items,
        [
            Column("NAMESPACE", lambda i: i.secret.namespace),
            Column("NAME", lambda i: i.secret.name),
            Column("REGISTRIES", lambda i: ",".join(i.registries)),
            Column("USER", lambda i: ",".join(i.users)),
            Column("AGE", lambda i: _age(i.secret.created)),
            Column(
                "ACCOUNTS",
                lambda i: "?" if i.account_names is None else ",".join(i.account_names),
            ),
            Column("STATE", lambda i: i.state, style=_state_style),
            Column("TYPE", lambda i: i.secret.type, wide=True),
            Column("PROBLEM", lambda i: i.broken or "", wide=True),
        ],
        key="secrets",
        name=lambda i: f"{i.secret.namespace}/secret/{i.secret.name}",
        record=_item_record,
    )
    _raise_unlooked(app, found)


def _state_style(item: "Item") -> str:
    return "red" if item.broken else ("" if item.state == "ours" else "yellow")


def _item_record(item: "Item") -> dict[str, Any]:
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


def _age(created: datetime | None) -> str:
    """Return an age as kubectl writes it, in its largest unit."""
    if created is None:
        return ""
    seconds = max(0, int((datetime.now(timezone.utc) - created).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


@secret.command(
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
    from regctl import inventory
    from regctl.cluster import check_object_name

    check_object_name(name, "Secret")
    cluster = app.cluster(cluster_options)
    found = _inventory(app, name, target_options, cluster_options, workers, cluster=cluster)
    removable = [item for item in found.items if inventory.deletable(item, adopt=adopt) is None]
    if removable and dry_run is None:
        _confirm_deletion(app, removable, yes=yes)
    outcomes: list[Outcome] = []
    with _interrupted(app, outcomes, dry_run):
        for some in inventory.delete(
            cluster, found.items, adopt=adopt, dry_run=dry_run, workers=workers
        ):
            outcomes += some
    if not found.items and not found.errors:
        app.output.note(f"there is no secret {name} to delete")
    app.output.results([*_results(outcomes), *_unlooked(name, found)], dry_run=dry_run)


def _confirm_deletion(app: App, items: "Sequence[Item]", *, yes: bool) -> None:
    """Show what is to be deleted, and ask."""
    if not yes:
        for item in items:
            used = ", ".join(item.account_names or ())
            by = f", used by {used}" if used else ""
            app.output.note(f"to be deleted: {item.secret.namespace}/{item.secret.name}{by}")
    count = "1 Secret" if len(items) == 1 else f"{len(items)} Secrets"
    app.confirm(f"Delete {count}?", yes=yes)


@secret.command(
    examples=[
        "regctl secret check -A",
        "regctl secret check registry.foo.com -n team-a --offline",
        "regctl secret check --image registry.foo.com/team/app:1.0 -n team-a",
    ],
)
@click.argument("name", required=False)
@click.option("--image", metavar="IMAGE", help="Say which Secret the kubelet uses for this image.")
@click.option(
    "--service-account",
    default="default",
    show_default=True,
    metavar="NAME",
    help="The account of the pod that pulls --image.",
)
@click.option("--offline", is_flag=True, help="Try no credential at its registry.")
@target_options
@output_option("table", "json", "yaml", "name")
@workers_option
@cluster_options
@transport_options
@pass_app
def check(
    app: App,
    *,
    name: str | None,
    image: str | None,
    service_account: str,
    offline: bool,
    target_options: TargetOptions,
    workers: int,
    cluster_options: ClusterOptions,
    transport: TransportOptions,
) -> None:
    """Check that pull secrets work: as the kubelet reads them, and at their registries."""
    from regctl import secretcheck

    if image is not None:
        _explain(app, image, service_account, target_options, cluster_options)
        return
    found = _inventory(app, name, target_options, cluster_options, workers)
    trial = None if offline else _trial(app, transport)
    findings = secretcheck.check(found, trial, whole=name is None, workers=workers)
    app.output.listing(
        findings,
        [
            Column("NAMESPACE", lambda f: f.namespace),
            Column("OBJECT", lambda f: f.subject),
            Column("REGISTRY", lambda f: f.key or ""),
            Column("USER", lambda f: f.username or ""),
            Column("VERDICT", lambda f: f.verdict, style=_verdict_style),
            Column("WHY", lambda f: f.what),
        ],
        key="findings",
        name=lambda f: f"{f.namespace}/{f.subject}",
        record=lambda f: {
            "namespace": f.namespace,
            "object": f.subject,
            "registry": f.key,
            "user": f.username,
            "verdict": f.verdict,
            "why": f.what,
        },
    )
    if not found.items and not found.errors:
        app.output.note("there are no pull secrets to check")
    _raise_unlooked(app, found)
    problems = sum(finding.verdict == "problem" for finding in findings)
    if problems:
        raise DifferenceError(f"{problems} of {len(findings)} checks found a problem")


def _trial(app: App, transport: TransportOptions) -> "Trial":
    """Return what tries a credential at its registry."""

    def trial(registry: "Registry", credential: "Credential") -> RegctlError | None:
        for hidden in credential.secrets:
            app.output.conceal(hidden)
        try:
            app.registry_as(registry, credential, transport).ping()
        except RegctlError as error:
            return error
        return None

    return trial


def _verdict_style(finding: "Finding") -> str:
    return {"ok": "green", "problem": "red", "unknown": "yellow"}[finding.verdict]


def _explain(
    app: App,
    image: str,
    account: str,
    target_options: TargetOptions,
    cluster_options: ClusterOptions,
) -> None:
    """Print what the kubelet would try for one image."""
    from regctl import secretcheck
    from regctl.reference import ImageReference

    reference = ImageReference.parse(image)
    cluster = app.cluster(cluster_options)
    spaces = target_options.targets().resolve(cluster)
    if len(spaces) != 1:
        raise InvalidInputError("--image is for one namespace", hint="name it with -n")
    told = secretcheck.explain(cluster, reference, spaces[0].name, account)
    app.output.listing(
        list(enumerate(told.matches, start=1)),
        [
            Column("TRIED", lambda m: str(m[0]), right=True),
            Column("SECRET", lambda m: m[1].secret),
            Column("ENTRY", lambda m: m[1].key),
            Column("USER", lambda m: m[1].credential.username),
        ],
        key="tried",
        name=lambda m: f"{told.namespace}/secret/{m[1].secret}",
        record=lambda m: {
            "order": m[0],
            "secret": m[1].secret,
            "registry": m[1].key,
            "user": m[1].credential.username,
        },
    )
    for problem in told.problems:
        app.output.warning(problem)
    where = f"by a pod of service account {account} in namespace {told.namespace}"
    if not told.matches:
        raise DifferenceError(
            f"no pull secret is for {reference}: it is pulled without a password {where}",
            hint=f"`regctl secret create --server {reference.registry} -n {told.namespace} "
            f"--service-account {account}`",
        )


@secret.command(
    examples=[
        "regctl secret sync pull-secrets.yaml",
        "regctl secret sync pull-secrets.yaml --check",
        "regctl secret sync pull-secrets.yaml --prune --yes",
    ],
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--check", "check_only", is_flag=True, help="Change nothing; exit with 1 on drift.")
@click.option("--prune", is_flag=True, help="Delete what this file made and names no more.")
@click.option("--adopt", is_flag=True, help="Take over a Secret that somebody made by hand.")
@click.option("--replace", is_flag=True, help="Delete and create where it can't be changed.")
@dry_run_option
@yes_option
@output_option("json", "yaml", "name")
@workers_option
@cluster_options
@pass_app
def sync(
    app: App,
    *,
    file: Path,
    check_only: bool,
    prune: bool,
    adopt: bool,
    replace: bool,
    dry_run: DryRun | None,
    yes: bool,
    workers: int,
    cluster_options: ClusterOptions,
) -> None:
    """
    Bring about the pull secrets that a file declares: several registries and targets.

    The file is YAML; docs/secret-sync.md describes it, and a JSON schema for editors is beside it.
    """
    from regctl import inventory, syncfile
    from regctl.pullsecrets import Policy

    declared = syncfile.read(file)
    cluster = app.cluster(cluster_options)
    mode: DryRun | None = "client" if check_only else dry_run
    task = syncfile.Sync(declared, cluster, app.environ, Policy(adopt, replace), workers)
    rollouts: list[Rollout] = []
    outcomes: list[Outcome] = []
    failures: list[Result] = []
    for wanted, rollout in task.rollouts():
        if isinstance(rollout, RegctlError):
            failures.append(Result("secret", wanted.name, "failed", error=rollout))
            continue
        for credential in rollout.desired.credentials.values():
            for hidden in credential.secrets:
                app.output.conceal(hidden)
        rollouts.append(rollout)
        outcomes += _carried_out(app, rollout, mode)
    if prune and failures:
        app.output.warning("nothing is pruned: some of the file could not be read")
    elif prune:
        items = task.prunable(rollouts)
        if items and mode is None:
            _confirm_deletion(app, items, yes=yes)
        with _interrupted(app, outcomes, mode):
            for some in inventory.delete(cluster, items, dry_run=mode, workers=workers):
                outcomes += some
    if check_only and not failures:
        _report_drift(app, outcomes)
        return
    app.output.results([*failures, *_results(outcomes)], dry_run=mode)


def _inventory(
    app: App,
    name: str | None,
    target_options: TargetOptions,
    cluster_options: ClusterOptions,
    workers: int,
    *,
    cluster: "Cluster | None" = None,
) -> "Inventory":
    """Look at the pull secrets of the namespaces asked for."""
    from regctl import inventory

    targets = target_options.targets()
    cluster = cluster or app.cluster(cluster_options)
    return inventory.inventory(
        cluster,
        targets.resolve(cluster),
        everywhere=targets.listed,
        name=name,
        workers=workers,
    )


def _unlooked(name: str, found: "Inventory") -> list[Result]:
    return [
        Result("secret", name, "failed", namespace=namespace, error=error)
        for namespace, error in sorted(found.errors.items())
    ]


def _raise_unlooked(app: App, found: "Inventory") -> None:
    """Report the namespaces that can't be looked at."""
    errors = [error for _, error in sorted(found.errors.items())]
    if len(errors) == 1 and not found.items:
        raise errors[0]
    for error in errors:
        app.output.error(error)
    if errors:
        raise PartlyDoneError(f"{len(errors)} namespaces could not be looked at")


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
    from regctl import rollout

    desired = wanted.desired(app, cluster_options)
    cluster = app.cluster(cluster_options)
    return rollout.prepare(
        cluster,
        desired,
        targets.resolve(cluster),
        policy=wanted.policy,
        accounts=wanted.accounts,
        workers=workers,
    )


def _show_many(app: App, names: "Sequence[str]", *, yes: bool) -> None:
    """Show a person the namespaces before many are changed."""
    if yes or len(names) <= _MANY or not app.interactive:
        return
    app.output.note(f"{len(names)} namespaces: {' '.join(names)}")
    app.confirm(f"Go on in {len(names)} namespaces?", yes=yes)


def _carried_out(app: App, rollout: "Rollout", dry_run: DryRun | None) -> "list[Outcome]":
    """Run a rollout under a progress bar; return what became of each namespace."""
    outcomes: list[Outcome] = []
    total = len(rollout.observed.namespaces)
    with (
        _interrupted(app, outcomes, dry_run),
        app.output.progress(f"secret {rollout.desired.name}", total) as advance,
    ):
        for some in rollout.run(dry_run):
            outcomes += some
            advance()
    if dry_run is None and any(
        outcome.kind == "serviceaccount" and outcome.result == "configured" for outcome in outcomes
    ):
        app.output.note("pods that run already keep the list they started with")
    return outcomes


@contextmanager
def _interrupted(
    app: App, outcomes: "Sequence[Outcome]", dry_run: DryRun | None
) -> "Iterator[None]":
    """On Ctrl-C print what was done and what was not."""
    try:
        yield
    except KeyboardInterrupt:
        try:
            app.output.results(_results(outcomes), dry_run=dry_run)
        except RegctlError as error:
            # That it was interrupted is the end of the run; the caller says so.
            app.output.error(error)
        raise


def _ordered(outcomes: "Iterable[Outcome]") -> "list[Outcome]":
    return sorted(outcomes, key=lambda o: (o.namespace, o.kind != "secret", o.name))


def _results(outcomes: "Iterable[Outcome]") -> list[Result]:
    return [
        Result(
            outcome.kind,
            outcome.name,
            outcome.result,
            namespace=outcome.namespace,
            note=outcome.note,
            error=outcome.error,
        )
        for outcome in _ordered(outcomes)
    ]
