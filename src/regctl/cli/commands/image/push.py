"""`regctl image push`: upload a saved image without docker."""

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from regctl.cli.app import STDIN, App, pass_app
from regctl.cli.command import Command, option, option_group
from regctl.cli.completers import files, images
from regctl.cli.humanize import size
from regctl.cli.images import parse_image, platform_option
from regctl.cli.options import ChangeFlags, CredentialFlags
from regctl.cli.params import change_options, image_options
from regctl.errors import InvalidInputError
from regctl.wording import count, some_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

    from regctl.images.archive import SavedImage
    from regctl.images.manifests import Platform
    from regctl.images.push import ImagePusher
    from regctl.reference import ImageReference


class ArchiveFlags(NamedTuple):
    """Which images of an archive to push."""

    select: str | None = None
    all_images: bool = False
    platform: "Platform | None" = None

    def images(self, saved: "Sequence[SavedImage]", source: str) -> "Sequence[SavedImage]":
        """Return the selected images, as far as they were saved. Raises what these steps raise."""
        from regctl.images.archive import select_images

        found = select_images(saved, source, name=self.select, every=self.all_images)
        if self.platform is None:
            return [image.whole(source) for image in found]
        return [image.for_platform(self.platform) for image in found]

    def tags(self, saved: "SavedImage", image: "ImageReference") -> tuple[str, ...]:
        """
        Return the tags to push an image with; none if *image* has a digest.

        Raises InvalidReferenceError if the image was saved under something else.
        """
        from regctl.reference import check_tag

        if image.tag or image.digest:
            return (image.tag,) if image.tag else ()
        tags = saved.tags if self.select is None else saved.tags_of(self.select)
        if self.select is None and not self.all_images and len(tags) != 1:
            tags = ()
        return tuple(map(check_tag, tags)) or ("latest",)


archive_options = option_group(
    "selected",
    ArchiveFlags,
    option("--select", metavar="NAME", help="The image to push if SOURCE has several."),
    option("--all", "all_images", is_flag=True, help="Push all images in SOURCE with their tags."),
    platform_option,
)


@click.command(
    cls=Command,
    examples=[
        "regctl image push app.tar registry.foo.com/team/app:1.0",
        "docker save app:1.0 | regctl image push - registry.foo.com/team/app",
        "regctl image push ./oci-folder registry.foo.com/team/app:1.0 -o json",
        "regctl image push all.tar registry.foo.com/team/app --all",
    ],
)
@click.argument("source", shell_complete=files)
@click.argument("image", shell_complete=images)
@archive_options
@option(
    "--mount-from",
    multiple=True,
    metavar="REPOSITORY",
    help="Mount layers from this repository of the same registry; repeatable.",
)
@option(
    "--workers",
    type=click.IntRange(1, 16),
    metavar="N",
    default=4,
    show_default=True,
    help="The number of parallel uploads.",
)
@change_options()
@image_options
@pass_app
def push(
    app: App,
    *,
    source: str,
    image: str,
    selected: ArchiveFlags,
    mount_from: tuple[str, ...],
    workers: int,
    change: ChangeFlags,
    credential: CredentialFlags,
) -> None:
    """
    Upload a saved image without docker, and print it with its digest.

    SOURCE is a tar of `docker save` or of an OCI layout, which may be compressed by gzip, the
    folder of an OCI layout, or '-' for standard input. IMAGE without a tag gets the tag that
    SOURCE or --select names, else 'latest'. If SOURCE has only one platform of an image for
    several, that one is pushed. Signatures and other referrers in an OCI layout are pushed with
    their image. Blobs that the registry has are not sent again. The tag is uploaded last. Symbolic
    links in a folder are refused. What is compressed is expanded in $TMPDIR.
    """
    from regctl.images.archive import open_archive
    from regctl.images.push import ImagePusher

    reference = parse_image(app, image)
    if selected.all_images and (selected.select is not None or reference.tag or reference.digest):
        raise InvalidInputError(
            "--all takes the tags from SOURCE: it needs IMAGE without a tag, and no --select"
        )
    archive = _stdin(app) if source == STDIN else source
    pusher = ImagePusher(
        app.registry(reference.registry, credential, reference.repository),
        reference.repository,
        mount_from=mount_from,
        workers=workers,
        dry_run=change.dry_run is not None,
    )
    with open_archive(archive) as saved:
        found = [(one, selected.tags(one, reference)) for one in selected.images(saved, source)]
        records = [_push(app, pusher, one, reference, tags) for one, tags in found]
    if app.output.structured:
        app.output.document({"images": records} if selected.all_images else records[0])


def _stdin(app: App) -> "IO[bytes]":
    if app.interactive:
        raise InvalidInputError(
            "standard input is a terminal, not a saved image",
            hint="`docker save IMAGE | regctl image push - IMAGE` uploads an image from docker",
        )
    return app.stdin("the image")


def _push(
    app: App,
    pusher: "ImagePusher",
    image: "SavedImage",
    to: "ImageReference",
    tags: "Sequence[str]",
) -> dict[str, Any]:
    """Push one image, print it, and return its JSON object."""
    name = f"{to.registry}/{to.repository}"
    total = sum(one.size for one in (image.manifest, *image.referrers))
    with app.output.progress(str(to), total, of_bytes=True) as advance:
        referrers = [pusher.push(one, (), on_progress=advance).digest for one in image.referrers]
        pushed = pusher.push(image.manifest, tags or (to.reference,), on_progress=advance)
    suffix = " (dry run)" if pusher.dry_run else ""
    if image.missing:
        only, missing = image.manifest.platform, some_of(image.missing)
        app.output.note(f"only {only} is pushed: the saved image lacks {missing}{suffix}")
    if referrers:
        app.output.note(f"{count(len(referrers), 'referrer')} pushed with the image{suffix}")
    app.output.note(
        f"{pushed.count('uploaded')} of {count(len(pushed.blobs), 'blob')} uploaded "
        f"({size(pushed.sent_bytes)}), {pushed.count('mounted')} mounted, "
        f"{pushed.count('unchanged')} already in the registry{suffix}"
    )
    if not app.output.structured:
        named = app.output.format == "name"
        for reference in [name] if named or not tags else [f"{name}:{tag}" for tag in tags]:
            app.output.line(f"{reference}@{pushed.digest}{suffix}")
    return {
        "image": name,
        "tags": list(tags),
        "digest": pushed.digest,
        "media_type": pushed.media_type,
        "referrers": referrers,
        "sent_bytes": pushed.sent_bytes,
        "dry_run": "client" if pusher.dry_run else None,
        "blobs": [
            {"digest": blob.digest, "size": blob.size, "result": result}
            for blob, result in pushed.blobs
        ],
    }
