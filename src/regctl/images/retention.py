"""
Decide which images of a repository to delete, by the rules of `image prune`. Sends no request.

A rule that keeps an image always wins. An image that cannot be read or has no date is kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from regctl.images.reader import Image, TaggedImage

# Reproducible builds set the date to 1970 or 1980.
_FIRST_REAL_YEAR = 1986


class RetentionRules(NamedTuple):
    """
    What to keep of each repository.

    The *keep_last* images that were built last, the tags that match a glob in *keep*, and the
    images younger than *older_than* seconds. An image with several tags counts once.
    """

    keep_last: int | None = None
    keep: tuple[str, ...] = ()
    older_than: float | None = None


class TagDecision(NamedTuple):
    """What to do with a tag: keep it for *keep_reason*, in words, or delete it if that is None."""

    tagged: "TaggedImage"
    keep_reason: str | None


def decide(
    images: "Sequence[TaggedImage]", rules: RetentionRules, *, now: "datetime"
) -> tuple[TagDecision, ...]:
    """
    Return what to do with each tag; *images* are all tags of a repository.

    If a kept tag refers to a digest, directly or as part of an index, all tags of that digest are
    kept: a deletion would delete the kept tag too.
    """
    newest = _newest(images, rules.keep_last)
    reasons = {one.tag: _keep_reason(one, rules, newest, now) for one in images}
    needed_by: dict[str, str] = {}
    for one in images:
        if one.image is not None and reasons[one.tag] is not None:
            for digest in (one.image.digest, *(variant.digest for variant in one.image.variants)):
                needed_by.setdefault(digest, one.tag)

    for one in images:
        if reasons[one.tag] is None and one.image is not None and one.image.digest in needed_by:
            reasons[one.tag] = f"kept because tag {needed_by[one.image.digest]} needs it"
    return tuple(TagDecision(one, reasons[one.tag]) for one in images)


def digests_to_delete(
    decisions: Sequence[TagDecision], current: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """
    Return the digests to delete, each with its tags.

    *current* has the digest that each tag of the repository refers to now. A digest that another
    tag has been given since the decision is kept.
    """
    decided = {
        one.tagged.tag: one.tagged.image.digest
        for one in decisions
        if one.keep_reason is None and one.tagged.image is not None
    }
    kept = {digest for tag, digest in current.items() if decided.get(tag) != digest}
    digests: dict[str, tuple[str, ...]] = {}
    for tag, digest in decided.items():
        if current.get(tag) == digest and digest not in kept:
            digests[digest] = (*digests.get(digest, ()), tag)
    return digests


def _newest(images: "Iterable[TaggedImage]", count: int | None) -> frozenset[str]:
    found = (one.image for one in images if one.image is not None)
    dates = {image.digest: date for image in found if (date := build_date(image))}
    newest_first = sorted(dates, key=lambda digest: dates[digest], reverse=True)
    return frozenset(newest_first[: count or 0])


def build_date(image: "Image") -> "datetime | None":
    """Return when the image was built, or None if it has no date or the one of a fixed build."""
    created = image.created
    return created if created is not None and created.year >= _FIRST_REAL_YEAR else None


def _keep_reason(
    tagged: "TaggedImage", rules: RetentionRules, newest: frozenset[str], now: "datetime"
) -> str | None:
    if tagged.image is None:
        return "kept because it cannot be read"
    glob = next((glob for glob in rules.keep if fnmatchcase(tagged.tag, glob)), None)
    if glob is not None:
        return f"kept by --keep {glob}"
    built = build_date(tagged.image)
    if built is None:
        return "kept because it has no build date"
    if tagged.image.digest in newest:
        return f"kept by --keep-last {rules.keep_last}"
    if rules.older_than is not None and (now - built).total_seconds() < rules.older_than:
        return f"kept by --older-than: built {built:%Y-%m-%d}"
    return None
