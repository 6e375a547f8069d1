"""How images are printed: the columns and the JSON that several commands share."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from regctl.cli.app import App
from regctl.cli.humanize import age, rfc3339, size
from regctl.cli.listings import Column, Listing, as_text, error_record
from regctl.errors import PartlyDoneError, RegctlError

if TYPE_CHECKING:
    from datetime import datetime

    from regctl.images.manifests import Descriptor
    from regctl.images.reader import Image, Variant

T = TypeVar("T")

_SHORT = len("sha256:") + 12


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
    return Column("CREATED", value, key, text=age, exact=rfc3339)


def error_column(value: "Callable[[T], RegctlError | None]") -> Column[T]:
    """Return the error of an item, in JSON only and only if there is one."""

    def record(item: T) -> Any:
        error = value(item)
        return None if error is None else error_record(error)

    return Column(None, record, "error", optional=True)


def size_cell(app: App, count: int) -> str:
    """Return a size: for people on a terminal, in bytes in a pipe."""
    return size(count) if app.output.on_terminal else str(count)


def moment(app: App, time: "datetime | None") -> str:
    """Return a time: how long ago on a terminal, exact in a pipe."""
    if app.output.on_terminal:
        return age(time)
    return time.isoformat() if time else ""


def short(app: App, digest: str) -> str:
    """Return a digest: as much of it as tells it apart on a terminal, all of it in a pipe."""
    return digest[:_SHORT] if app.output.on_terminal and app.output.format != "wide" else digest


def image_record(image: "Image") -> dict[str, Any]:
    """Return the JSON object of an image, without what its variants hold."""
    return {
        "reference": image.reference,
        "digest": image.digest,
        "media_type": image.media_type,
        "artifact_type": image.artifact_type,
        "size": image.size,
        "platforms": list(image.platforms),
        "created": image.created.isoformat() if image.created else None,
    }


def variant_record(variant: "Variant") -> dict[str, Any]:
    """Return the JSON object of an image for one platform."""
    return {
        "platform": str(variant.platform) if variant.platform else None,
        "digest": variant.digest,
        "media_type": variant.media_type,
        "size": variant.size,
        "created": variant.created.isoformat() if variant.created else None,
        "labels": dict(variant.labels),
        "config": _blob(variant.config),
        "layers": [_blob(layer) for layer in variant.layers],
    }


class Readable(Protocol):
    """An item that was read from a registry, or could not be read because of *error*."""

    @property
    def error(self) -> RegctlError | None:
        """Why it could not be read, or not completely."""


R = TypeVar("R", bound=Readable)


def list_readable(app: App, items: Iterable[R], listing: Listing[R], total: int | None) -> None:
    """
    Print a listing of *total* items, then the errors of those that could not be read.

    Raises PartlyDoneError if some of them could not be read. If all failed, raises the class that
    their errors share, or else RegctlError.
    """
    errors: list[RegctlError] = []
    count = 0

    def counted() -> Iterator[R]:
        nonlocal count
        for item in items:
            count += 1
            if item.error is not None:
                errors.append(item.error)
            yield item

    app.output.listing(counted(), listing, progress=(listing.key, total))
    if not errors:
        return
    for error in errors:
        app.output.error(error)
    message = f"{len(errors)} of {count} {listing.key} could not be read"
    if len(errors) < count:
        raise PartlyDoneError(message)
    kinds = {type(error) for error in errors}
    raise (kinds.pop() if len(kinds) == 1 else RegctlError)(message)


def _blob(blob: "Descriptor") -> dict[str, Any]:
    return {"digest": blob.digest, "size": blob.size, "media_type": blob.media_type}
