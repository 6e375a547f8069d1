"""What commands that delete images ask the clusters first: which images are in use."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from regctl.cli.app import App
from regctl.cli.command import option, option_group
from regctl.cli.completers import contexts, files
from regctl.cli.options import at_most_one
from regctl.cli.params import FilePath
from regctl.errors import MalformedError, PartlyDoneError, RegctlError

if TYPE_CHECKING:
    from regctl.workflows.usage import UsedImage


class UsageFlags(NamedTuple):
    """The clusters and lists that say which images are in use."""

    ignore_cluster: bool = False
    used_context: tuple[str, ...] = ()
    used_from: "tuple[Path, ...]" = ()


usage_options = option_group(
    "usage",
    UsageFlags,
    option(
        "--ignore-cluster",
        is_flag=True,
        heading="Images in use",
        help="Do not ask the cluster which images its workloads use.",
    ),
    option(
        "--used-context",
        multiple=True,
        metavar="CONTEXT",
        shell_complete=contexts,
        heading="Images in use",
        help="Ask the cluster of this context; repeatable.  [default: the current context]",
    ),
    option(
        "--used-from",
        type=FilePath(),
        multiple=True,
        metavar="FILE",
        shell_complete=files,
        heading="Images in use",
        help="Keep the images of a list that `image used -o json` printed; repeatable.",
    ),
)


def images_in_use(app: App, flags: UsageFlags) -> "list[UsedImage]":
    """
    Return the images that workloads of the clusters use, and those of the lists.

    Raises PartlyDoneError if a cluster is configured and cannot be read to the end, and
    MalformedError for a list that is not one or not complete.
    """
    at_most_one({"--ignore-cluster": flags.ignore_cluster, "--used-context": flags.used_context})
    found = [image for path in flags.used_from for image in _listed(app, path)]
    if not flags.ignore_cluster:
        for context in flags.used_context or (None,):
            found += _running(app, context)
    return found


def _running(app: App, context: str | None) -> "list[UsedImage]":
    from regctl.cluster.workloads import list_workloads
    from regctl.workflows import usage

    try:
        if context is None and not app.kubeconfig(None).is_configured:
            app.output.note("no kubeconfig: it is unknown which images workloads use")
            return []
        workloads = list_workloads(app.connect_cluster(context))
    except RegctlError as error:
        raise _unseen(error) from error
    if workloads.errors:
        raise _unseen(workloads.errors[0])
    return usage.images_in_use(workloads.items)


def _unseen(error: RegctlError) -> PartlyDoneError:
    return PartlyDoneError(
        f"nothing is deleted: it is unknown which images workloads use: {error.message}",
        hint="`regctl rbac image used` prints the rights; --ignore-cluster deletes without looking",
    )


def _listed(app: App, path: Path) -> "Iterable[UsedImage]":
    from regctl.jsontext import parse_json_object

    document = parse_json_object(app.read(path, "the images in use"), source=str(path))
    if document.get("complete") is not True:
        raise MalformedError(
            f"cannot use {path}: it is no complete list of `image used`",
            hint="`regctl image used -o json` prints one",
        )
    try:
        return list(_parsed(document["images"]))
    except (LookupError, TypeError, AttributeError, RegctlError) as error:
        raise MalformedError(f"cannot read {path}: not a list of `image used`") from error


def _parsed(items: Iterable[Any]) -> "Iterator[UsedImage]":
    from regctl.cluster.workloads import Workload
    from regctl.reference import ImageReference
    from regctl.workflows.usage import UsedImage

    for item in items:
        workloads = tuple(
            Workload(str(one["kind"]), str(one["namespace"]), str(one["name"]), ())
            for one in item["workloads"]
        )
        digests = tuple(map(str, item["digests"]))
        yield UsedImage(ImageReference.parse(str(item["image"])), workloads, digests)
