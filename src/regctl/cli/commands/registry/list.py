"""`regctl registry list`: the registries in the cluster."""

from operator import attrgetter

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command
from regctl.cli.listings import Column, Listing
from regctl.cli.options import TargetFlags
from regctl.cli.params import cluster_options, output_option, target_options


def _count(names: tuple[str, ...] | None) -> str:
    return "?" if names is None else str(len(names))


_REGISTRIES = Listing(
    "registries",
    [
        Column("NAMESPACE", attrgetter("namespace")),
        Column("NAME", attrgetter("name")),
        Column("HOST", attrgetter("host")),
        Column(
            "READY",
            lambda i: f"{i.ready}/{i.replicas}",
            key="",
            style=lambda i: "" if i.ready >= i.replicas else "yellow",
        ),
        Column("USERS", attrgetter("users"), text=_count, right=True),
        Column("PULL SECRETS", attrgetter("pull_secrets"), text=_count, right=True),
        Column("AUTH", attrgetter("auth"), wide=True),
        Column("IMAGE", attrgetter("image"), wide=True),
        Column("USER NAMES", attrgetter("users"), key="", wide=True),
        Column("PULL SECRET NAMES", attrgetter("pull_secrets"), key="", wide=True),
        Column(None, attrgetter("auth_secret"), key="auth_secret"),
        Column(None, attrgetter("ready"), key="ready"),
        Column(None, attrgetter("replicas"), key="replicas"),
    ],
    name=lambda i: f"{i.namespace}/registry/{i.name}",
)


@click.command(
    "list",
    cls=Command,
    examples=["regctl registry list -A", "regctl registry list -n team-a -o wide"],
)
@target_options
@output_option("table", "wide", "json", "yaml", "name")
@cluster_options
@pass_app
def list_(app: App, *, targets: TargetFlags) -> None:
    """List the registries that regctl created, with their users and pull secrets."""
    from regctl.provisioning.listing import installed_registries

    found = installed_registries(app.cluster, app.targets(targets))
    app.output.listing(found.items, _REGISTRIES)
    if not found.items and not found.errors:
        app.output.note("no registries found")
    app.output.unreadable_namespaces(found.errors, others=bool(found.items))
