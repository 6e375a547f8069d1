"""How images are printed: the columns and the JSON that several commands share."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from regctl.cli.app import App
from regctl.cli.command import option
from regctl.cli.hints import completed
from regctl.cli.humanize import age, size
from regctl.cli.listings import Column, Listing
from regctl.cli.options import ChangeFlags
from regctl.cli.rendering import as_json, as_text, error_record
from regctl.errors import (
    InvalidInputError,
    InvalidReferenceError,
    NotInRegistryError,
    PartlyDoneError,
    RegctlError,
)

if TYPE_CHECKING:
    from datetime import datetime

    from regctl.images.manifests import Descriptor, Platform
    from regctl.images.reader import Image, Repository, TaggedImage, Variant
    from regctl.outcome import Outcome
    from regctl.reference import ImageReference
    from regctl.registry.client import RegistryClient

T = TypeVar("T")
R = TypeVar("R", "Repository", "TaggedImage")

_SHORT = len("sha256:") + 12


def parse_platform(text: str) -> "Platform":
    """Parse a platform when it is typed. Raises InvalidInputError."""
    from regctl.images.manifests import Platform

    return Platform.parse(text)


platform_option = option(
    "--platform",
    type=parse_platform,
    metavar="OS/ARCH",
    help="Use only the image for this platform.",
)


def parse_image(app: App, text: str) -> "ImageReference":
    """
    Return the image that *text* names; without a host it is at `$REGCTL_REGISTRY`, if that is set.

    Raises InvalidReferenceError, with what to type, if *text* is a registry without a repository.
    """
    from regctl.reference import DOCKER_HUB, ImageReference, Registry

    default = Registry.parse(app.environ.get("REGCTL_REGISTRY") or DOCKER_HUB)
    scheme, _, address = text.strip().rpartition("://")
    host, slash, path = address.partition("/")
    name = host.partition(":")[0]
    is_host = slash or "." in name or name == "localhost" or host == default.host
    if is_host and path.strip("/") in {"", "v1", "v2"} and Registry.find(host):
        raise InvalidReferenceError(
            f"{text} is a registry: the repository is missing",
            hint=f"type {host}/REPOSITORY; `regctl catalog {host}` lists the repositories",
        )
    if scheme:
        # Rejects other schemes, and a password before the host.
        Registry.parse(text)
        app.obey_scheme(text)
    return ImageReference.parse(address, default=default)


@contextmanager
def naming_what_is_there(
    app: App, client: "RegistryClient", image: "ImageReference"
) -> Iterator[None]:
    """Raise NotInRegistryError of the block again with what the registry has instead."""
    from regctl.images.missing import explain_missing

    try:
        yield
    except NotInRegistryError as error:
        failure = explain_missing(client, image)
        if failure is None:
            raise
        hint = completed(failure.hint or "", app.connections.typed)
        raise NotInRegistryError(failure.message, hint=hint) from error


def parse_repository(app: App, text: str, *, command: str) -> "ImageReference":
    """
    Return the repository that *text* names.

    Raises InvalidInputError if it names one image; the hint is the *command* for that.
    """
    found = parse_image(app, text)
    if found.tag or found.digest:
        raise InvalidInputError(
            f"{text} is one image, not a repository", hint=f"`regctl {command} {text}`"
        )
    return found


def note_garbage_collection(app: App, outcomes: "Sequence[Outcome]", change: ChangeFlags) -> None:
    """Say after a deletion that the registry's disk is not free yet."""
    carried_out = change.dry_run is None and not change.check
    if carried_out and any(outcome.result in {"deleted", "accepted"} for outcome in outcomes):
        app.output.note("the registry's garbage collection frees the disk")


def digest_column(
    value: "Callable[[T], str | None]", *, key: str | None = None, missing: str = ""
) -> Column[T]:
    """
    Return a column of digests: shortened on a terminal, except with `-o wide`.

    *missing* is the text for None.
    """
    return Column(
        "DIGEST",
        value,
        key,
        text=lambda digest: digest[:_SHORT] if digest else missing,
        exact=lambda digest: digest or missing,
        shortens=True,
    )


def size_column(value: "Callable[[T], int | None]") -> Column[T]:
    """Return a column of sizes: rounded on a terminal, in bytes in a pipe."""
    return Column("SIZE", value, text=size, exact=as_text, right=True)


def created_column(value: "Callable[[T], datetime | None]", *, key: str | None = None) -> Column[T]:
    """Return a column of build dates: an age on a terminal, exact in a pipe."""
    return Column("CREATED", value, key, text=age, exact=as_text)


def error_column(value: "Callable[[T], RegctlError | None]") -> Column[T]:
    """Return the error of an item, in JSON only and only if there is one."""
    return Column(
        None,
        lambda item: error_record(error) if (error := value(item)) else None,
        "error",
        optional=True,
    )


def image_record(image: "Image") -> dict[str, Any]:
    """Return the JSON object of an image, without what its variants hold."""
    return {
        "reference": image.reference,
        "digest": image.digest,
        "media_type": image.media_type,
        "artifact_type": image.artifact_type,
        "size": image.size,
        "platforms": list(image.platforms),
        "created": as_json(image.created),
    }


def variant_record(variant: "Variant") -> dict[str, Any]:
    """Return the JSON object of an image for one platform."""
    return {
        "platform": str(variant.platform) if variant.platform else None,
        "digest": variant.digest,
        "media_type": variant.manifest.media_type,
        "size": variant.size,
        "created": as_json(variant.configuration.created),
        "labels": dict(variant.configuration.labels),
        "config": _blob(variant.manifest.config),
        "layers": [_blob(layer) for layer in variant.manifest.layers],
    }


def list_readable(app: App, items: Iterable[R], listing: Listing[R], total: int | None) -> None:
    """
    Print a listing of *total* items, then the errors of those that could not be read.

    Raises PartlyDoneError if some of them could not be read. If all failed, raises the class that
    their errors share, or else RegctlError.
    """
    read: list[RegctlError | None] = []

    def noting_errors() -> Iterator[R]:
        for item in items:
            read.append(item.error)
            yield item

    app.output.listing(noting_errors(), listing, progress=(listing.key, total))
    errors = [error for error in read if error is not None]
    for error in errors:
        app.output.error(error)
    message = f"{len(errors)} of {len(read)} {listing.key} could not be read"
    if 0 < len(errors) < len(read):
        raise PartlyDoneError(message)
    kinds = {type(error) for error in errors}
    if kinds:
        raise (kinds.pop() if len(kinds) == 1 else RegctlError)(message)


def _blob(blob: "Descriptor") -> dict[str, Any]:
    return {"digest": blob.digest, "size": blob.size, "media_type": blob.media_type}
