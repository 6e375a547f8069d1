"""`regctl registry delete`: remove a registry from a namespace."""

from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.completers import installed_registries
from regctl.cli.options import ChangeFlags, TargetFlags, split_reference
from regctl.cli.params import (
    change_options,
    cluster_options,
    ignore_not_found_option,
    namespace_option,
    output_option,
)

if TYPE_CHECKING:
    from regctl.provisioning.plan import Plan


@click.command(
    cls=Command,
    examples=[
        "regctl registry delete team-a -n team-a",
        "regctl registry delete team-a -n team-a --with-data --yes",
    ],
)
@click.argument("name", shell_complete=installed_registries)
@namespace_option
@option("--with-data", is_flag=True, help="Also delete the users, and the volume with all images.")
@ignore_not_found_option
@change_options("yes", "adopt-deleted", server=True)
@output_option("json", "yaml", "name")
@cluster_options
@pass_app
def delete(
    app: App, *, name: str, namespace: str | None, with_data: bool, change: ChangeFlags
) -> None:
    """
    Delete a registry, but keep its volume and its users unless --with-data is given.

    `regctl registry apply` with the same name uses both again. Pull secrets are not deleted.
    """
    from regctl.provisioning import remove

    given = TargetFlags() if namespace is None else TargetFlags((namespace,))
    name, targets = split_reference(name, "registry", given)
    space = next(iter(targets.namespace), None) or app.cluster.context_namespace
    plan = remove.prepare(app.cluster, space, name, with_data=with_data, adopt=change.adopt)
    question = None if plan.refused else _question(plan, name, space)
    app.carry_out(
        lambda dry_run: ([outcome] for outcome in plan.run(dry_run)), change, question=question
    )


def _question(plan: "Plan", name: str, namespace: str) -> str | None:
    deleted = [(one.resource.kind, one.name) for one in plan.changes if one.action == "delete"]
    if not deleted:
        return None
    lost = ["all its images"] if "PersistentVolumeClaim" in dict(deleted) else []
    # NAME-http is what its replicas share.
    lost += [
        f"its users in secret {secret}"
        for kind, secret in deleted
        if kind == "Secret" and secret != f"{name}-http"
    ]
    data = f" with {' and '.join(lost)}" if lost else " (its images and users are kept)"
    return f"delete registry {name} in namespace {namespace}{data}?"
