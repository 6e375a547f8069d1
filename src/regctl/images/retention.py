"""
Decide which images of a repository to delete, by the rules of `image prune`. Sends no request.

A rule that keeps an image always wins. An image that cannot be read or has no date is kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from regctl.images.reader import Image

# Reproducible builds set the date to 1970 or 1980.
_FIRST_REAL_YEAR = 1986


@dataclass(frozen=True)
class RetentionRules:
    """
    What to keep of each repository.

    The *keep_last* images that were built last, the tags that match a glob in *keep*, and the
    images younger than *older_than*. An image with several tags counts once.
    """

    keep_last: int | None = None
    keep: tuple[str, ...] = ()
    older_than: timedelta | None = None


@dataclass(frozen=True)
class TagDecision:
    """What to do with a tag: keep it because of *keep_reason*, or delete it if that is None."""

    tag: str
    digest: str | None
    created: datetime | None
    size: int
    keep_reason: str | None


def decide(
    images: Mapping[str, Image | None], rules: RetentionRules, *, now: datetime
) -> tuple[TagDecision, ...]:
    """
    Return what to do with each tag of a repository.

    *images* has the image of each tag, or None if it cannot be read. If a kept tag refers to a
    digest, directly or as part of an index, all tags of that digest are kept: a deletion would
    delete the kept tag too.
    """
    newest = _newest(images.values(), rules.keep_last)
    reasons = {tag: _keep_reason(tag, image, rules, newest, now) for tag, image in images.items()}
    needed_by: dict[str, str] = {}
    for tag, image in images.items():
        if image is not None and reasons[tag] is not None:
            for digest in (image.digest, *(variant.digest for variant in image.variants)):
                needed_by.setdefault(digest, tag)

    def decision(tag: str, image: Image | None) -> TagDecision:
        if image is None:
            return TagDecision(tag, None, None, 0, reasons[tag])
        reason = reasons[tag]
        if reason is None and image.digest in needed_by:
            reason = f"needed by {needed_by[image.digest]}"
        return TagDecision(tag, image.digest, image.created, image.size, reason)

    return tuple(decision(tag, image) for tag, image in images.items())


def digests_to_delete(
    decisions: Sequence[TagDecision], current: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """
    Return the digests to delete, each with its tags.

    *current* has the digest that each tag of the repository refers to now. A digest that another
    tag has been given since the decision is kept.
    """
    decided = {one.tag: one.digest for one in decisions if one.keep_reason is None and one.digest}
    kept = {digest for tag, digest in current.items() if decided.get(tag) != digest}
    digests: dict[str, tuple[str, ...]] = {}
    for tag, digest in decided.items():
        if current.get(tag) == digest and digest not in kept:
            digests[digest] = (*digests.get(digest, ()), tag)
    return digests


def _newest(images: Iterable[Image | None], count: int | None) -> frozenset[str]:
    dates = {image.digest: date for image in images if image and (date := _built(image))}
    newest_first = sorted(dates, key=lambda digest: dates[digest], reverse=True)
    return frozenset(newest_first[: count or 0])


def _built(image: Image) -> datetime | None:
    """Return when the image was built, or None if it does not have a real date."""
    created = image.created
    return created if created is not None and created.year >= _FIRST_REAL_YEAR else None


def _keep_reason(
    tag: str, image: Image | None, rules: RetentionRules, newest: frozenset[str], now: datetime
) -> str | None:
    if image is None:
        return "it cannot be read"
    glob = next((glob for glob in rules.keep if fnmatchcase(tag, glob)), None)
    if glob is not None:
        return f"matches {glob}"
    built = _built(image)
    if built is None:
        return "it has no build date"
    if image.digest in newest:
        return f"one of the last {rules.keep_last}"
    if rules.older_than is not None and now - built < rules.older_than:
        return f"younger than {rules.older_than.days} days"
    return None
