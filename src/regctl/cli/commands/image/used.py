"""`regctl image used`: the images that workloads use."""

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command
from regctl.cli.listings import Column, Listing
from regctl.cli.options import TargetFlags
from regctl.cli.params import cluster_options, output_option, registry_argument, target_options
from regctl.cli.rendering import as_text
from regctl.errors import PartlyDoneError
from regctl.wording import count, some_of

if TYPE_CHECKING:
    from regctl.workflows.usage import UsedImage


def _record(item: "UsedImage") -> Any:
    return {
        "image": str(item.image),
        "digests": list(item.digests),
        "workloads": [
            {
                "kind": one.kind,
                "namespace": one.namespace,
                "name": one.name,
                "service_account": one.account,
                "pull_secrets": list(one.secrets),
                "pods": one.pods,
            }
            for one in item.workloads
        ],
    }


_IMAGES: "Listing[UsedImage]" = Listing(
    "images",
    [
        Column("IMAGE", attrgetter("image")),
        Column("PODS", lambda i: sum(one.pods for one in i.workloads), right=True),
        Column(
            "WORKLOADS",
            lambda i: [one.subject for one in i.workloads],
            text=some_of,
            exact=as_text,
        ),
        Column("NAMESPACES", attrgetter("namespaces"), text=some_of, exact=as_text, wide=True),
        Column("RUNNING", attrgetter("digests"), wide=True),
    ],
    name=lambda i: str(i.image),
    record=_record,
)


@click.command(
    cls=Command,
    examples=[
        "regctl image used registry.foo.com",
        "regctl image used registry.foo.com -n team-a,team-b -o wide",
        "regctl image used registry.foo.com -o json > used.json",
    ],
)
@registry_argument
@target_options
@cluster_options
@output_option("table", "wide", "json", "yaml", "name")
@pass_app
def used(app: App, *, registry: str | None, targets: TargetFlags) -> None:
    """
    List the images that workloads use: Pods, and the templates that make them.

    Deployments, StatefulSets, DaemonSets, Jobs and CronJobs count, also those scaled to zero.
    Without REGISTRY or $REGCTL_REGISTRY it lists the images of all registries, and without
    namespaces those of the whole cluster. Exit code 3 means that some kinds could not be listed.
    """
    from regctl.cluster.workloads import list_workloads
    from regctl.workflows.usage import images_in_use

    is_named = registry or app.environ.get("REGCTL_REGISTRY")
    where = app.named_registry(registry) if is_named else None
    selected = app.targets(targets)
    spaces = None
    if selected.named or selected.listed:
        spaces = [space.name for space in selected.resolve(app.cluster)]
    found = list_workloads(app.cluster, spaces)
    images = images_in_use(found.items, where)
    if app.output.structured:
        records = [_IMAGES.json(one) for one in images]
        app.output.document({"complete": not found.errors, "images": records})
    else:
        app.output.listing(images, _IMAGES)
    if not images and not found.errors:
        app.output.note("no workload uses such an image")
    for error in found.errors:
        app.output.error(error)
    if found.errors:
        raise PartlyDoneError(
            f"{count(len(found.errors), 'list')} could not be read, so images may be missing",
            hint="`regctl rbac image used` prints the rights",
        )
