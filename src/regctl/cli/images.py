"""How images are printed: the columns and the JSON that several commands share."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from regctl.cli.app import App
from regctl.cli.humanize import age, rfc3339, size
from regctl.cli.listings import Column, as_text
from regctl.errors import PartlyDoneError, RegctlError

if TYPE_CHECKING:
    from datetime import datetime

    from regctl.images.manifests import Descriptor
    from regctl.images.reader import Image, Variant

T = TypeVar("T")

_SHORT = len("sha256:") + 12


def digest_column(value: "Callable[[T], str | None]") -> Column[T]:
    """Return a column of digests: shortened on a terminal, except with `-o wide`."""
    return Column(
        "DIGEST", value, text=lambda digest: (digest or "")[:_SHORT], exact=as_text, shortens=True
    )


def size_column(value: "Callable[[T], int | None]") -> Column[T]:
    """Return a column of sizes: rounded on a terminal, in bytes in a pipe."""
    return Column("SIZE", value, text=size, exact=as_text, right=True)


def created_column(value: "Callable[[T], datetime | None]") -> Column[T]:
    """Return a column of build dates: an age on a terminal, exact in a pipe."""
    return Column("CREATED", value, text=age, exact=rfc3339)


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


def unread(app: App, outcomes: Sequence[tuple[str, RegctlError | None]], noun: str) -> None:
    """Say of each what could not be read of it; raise PartlyDoneError, or what all failed with."""
    failed = [(name, error) for name, error in outcomes if error is not None]
    if not failed:
        return
    for _, error in failed:
        app.output.error(error)
    counted = f"{len(failed)} of {len(outcomes)} {noun} could not be read"
    if len(failed) < len(outcomes):
        raise PartlyDoneError(counted)
    raise (
        type(failed[0][1])(counted)
        if len({type(e) for _, e in failed}) == 1
        else RegctlError(counted)
    )


def _blob(blob: "Descriptor") -> dict[str, Any]:
    return {"digest": blob.digest, "size": blob.size, "media_type": blob.media_type}
