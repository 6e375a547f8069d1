"""`regctl image push`: a saved image, uploaded without a daemon."""

import sys
from typing import TYPE_CHECKING, Any

import click

from regctl.cli.app import App, old_registry_as, pass_app
from regctl.cli.completers import images
from regctl.cli.humanize import size as readable
from regctl.cli.old.credential_options import CredentialOptions, credential_options
from regctl.cli.old.option_groups import TransportOptions, output_option, transport_options
from regctl.cli.old.params import Command
from regctl.errors import InvalidInputError, NotInRegistryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from regctl.images.archive import SavedImage
    from regctl.images.push import PushedImage
    from regctl.reference import ImageReference


@click.command(
    cls=Command,
    examples=[
        "regctl image push app.tar registry.foo.com/team/app:1.0",
        "docker save app:1.0 | regctl image push - registry.foo.com/team/app",
        "regctl image push ./oci-folder registry.foo.com/team/app:1.0 -o json",
        "regctl image push all.tar registry.foo.com/team/app --all",
    ],
)
@click.argument("source")
@click.argument("image", shell_complete=images)
@click.option("--select", metavar="NAME", help="Which image, where SOURCE holds several.")
@click.option("--all", "everything", is_flag=True, help="All images of SOURCE, by their tags.")
@click.option("--platform", metavar="OS/ARCH", help="Only the image for this platform.")
@click.option(
    "--mount-from",
    multiple=True,
    metavar="REPOSITORY",
    help="Take layers from this repository of the same registry; repeatable.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 16),
    default=4,
    show_default=True,
    help="How many layers at once.",
)
@credential_options
@transport_options
@output_option("table", "json", "yaml", "name")
@pass_app
def push(
    app: App,
    *,
    source: str,
    image: str,
    select: str | None,
    everything: bool,
    platform: str | None,
    mount_from: tuple[str, ...],
    workers: int,
    credential: CredentialOptions,
    transport: TransportOptions,
) -> None:
    """
    Upload a saved image, without docker.

    SOURCE is a tar of `docker save` or of an OCI layout, also compressed by gzip, also '-' for
    standard input, or the folder of an OCI layout. IMAGE without a tag gets the one that SOURCE
    names, else 'latest'. What the registry has is not sent again; the tag comes last. Prints the
    image with its digest.
    """
    from regctl.images.archive import open_archive
    from regctl.images.manifests import Platform
    from regctl.images.push import ImagePusher
    from regctl.reference import ImageReference

    asked = ImageReference.parse(image)
    wanted = Platform.parse(platform) if platform is not None else None
    _check(source, asked, credential, select=select, everything=everything)
    client = old_registry_as(
        app, asked.registry, credential.resolve(app, asked.registry), transport
    )
    records = []
    with open_archive(source, sys.stdin.buffer) as saved:
        for one, tags in _chosen(source, saved, asked, select, everything=everything):
            chosen = one if wanted is None else one.for_platform(wanted)
            described = f"{asked.repository}:{tags[0]}" if tags else asked.repository
            total = chosen.manifest.size
            with app.output.progress(described, total, of_bytes=True) as advance:
                pusher = ImagePusher(
                    client,
                    asked.repository,
                    mount_from=mount_from,
                    workers=workers,
                    on_progress=advance,
                )
                pushed = pusher.push(chosen.manifest, tags or (asked.reference,))
            records.append(_record(asked, tags, pushed))
            _tell(app, asked, tags, pushed)
    if app.output.structured:
        app.output.document({"images": records} if everything else records[0])


def _check(
    source: str,
    asked: "ImageReference",
    credential: CredentialOptions,
    *,
    select: str | None,
    everything: bool,
) -> None:
    if source == "-" and sys.stdin.isatty():
        raise InvalidInputError(
            "standard input is the terminal", hint="`docker save IMAGE | regctl image push - …`"
        )
    if source == "-" and credential.password_options.password_stdin:
        raise InvalidInputError(
            "the image and the password can't both come from standard input",
            hint="pass --password-file, or `regctl login` before",
        )
    if everything and (select is not None or asked.tag or asked.digest):
        raise InvalidInputError(
            "--all takes the tags from SOURCE: it goes without --select, and IMAGE without a tag"
        )


def _chosen(
    source: str,
    saved: "Sequence[SavedImage]",
    asked: "ImageReference",
    select: str | None,
    *,
    everything: bool,
) -> "Iterator[tuple[SavedImage, tuple[str, ...]]]":
    """Yield the images to push, each with its tags; none where it goes by its digest."""
    names = ", ".join(name for one in saved for name in one.names) or f"{len(saved)} without a name"
    if everything:
        tags = [tag for one in saved for tag in one.tags]
        nameless = any(not one.tags for one in saved)
        if nameless or len(tags) != len(set(tags)):
            raise InvalidInputError(
                f"cannot push all of {source} to one repository: an image has no tag of its own",
                hint=f"pass --select with one of: {names}",
            )
        yield from ((one, one.tags) for one in saved)
        return
    fitting = list(saved)
    if select is not None:
        fitting = [one for one in saved if select in {*one.names, *one.tags}]
        if not fitting:
            raise NotInRegistryError(f"no {select} in {source}", hint=f"it holds {names}")
    if len(fitting) > 1:
        raise InvalidInputError(
            f"{source} holds {len(saved)} images: which one?",
            hint=f"pass --select with one of: {names}; or --all",
        )
    (one,) = fitting
    if asked.digest:
        yield one, ()
    elif asked.tag:
        yield one, (asked.tag,)
    else:
        yield one, one.tags if len(one.tags) == 1 else ("latest",)


def _record(
    asked: "ImageReference", tags: "Sequence[str]", pushed: "PushedImage"
) -> dict[str, Any]:
    return {
        "image": f"{asked.registry}/{asked.repository}",
        "tags": list(tags),
        "digest": pushed.digest,
        "media_type": pushed.media_type,
        "sent_bytes": pushed.sent_bytes,
        "blobs": [
            {
                "digest": blob.descriptor.digest,
                "size": blob.descriptor.size,
                "result": blob.result,
            }
            for blob in pushed.blobs
        ],
    }


def _tell(app: App, asked: "ImageReference", tags: "Sequence[str]", pushed: "PushedImage") -> None:
    uploaded, there = pushed.count("uploaded"), pushed.count("unchanged")
    app.output.note(
        f"{uploaded} of {len(pushed.blobs)} blobs uploaded ({readable(pushed.sent_bytes)}), "
        f"{pushed.count('mounted')} mounted, {there} there already"
    )
    if app.output.structured:
        return
    name = f"{asked.registry}/{asked.repository}"
    if app.output.format == "name" or not tags:
        app.output.line(f"{name}@{pushed.digest}")
        return
    for tag in tags:
        app.output.line(f"{name}:{tag}@{pushed.digest}")
