"""What a registry has in place of an image that is not there."""

from contextlib import suppress
from difflib import get_close_matches
from itertools import islice

from regctl.errors import NotInRegistryError, RegctlError
from regctl.reference import ImageReference
from regctl.registry.client import RegistryClient

_SHOWN_TAGS = 5
_COMPARED_NAMES = 2000


def explain_missing(client: RegistryClient, image: ImageReference) -> NotInRegistryError | None:
    """
    Return an error that names what is there: the last tags, or repositories with a similar name.

    Returns None if the registry lists neither, or has the image. It costs up to three requests, so
    it is for a failure.
    """
    name = f"{image.registry}/{image.repository}"
    with suppress(RegctlError):
        client.manifest_head(image.repository, image.reference)
        return None
    tags: list[str] = []
    with suppress(RegctlError):
        tags = client.tags(image.repository)
    if tags:
        missing = image.digest or f"tag {image.reference}"
        return NotInRegistryError(
            f"{image.repository} has no {missing}; it has {', '.join(tags[-_SHOWN_TAGS:])}",
            hint=f"`regctl tags {name}` lists all tags",
        )
    try:
        known = list(islice(client.repositories(), _COMPARED_NAMES))
    except RegctlError:
        return None
    close = ", ".join(get_close_matches(image.repository, known, _SHOWN_TAGS))
    return NotInRegistryError(
        f"{image.registry} has no repository {image.repository}"
        + (f"; it has {close}" if close else ""),
        hint=f"`regctl catalog {image.registry}` lists the repositories",
    )
