"""
Decide which images of a repository to delete, by the rules of `image prune`. Sends no request.

A rule that keeps an image always wins. An image that cannot be read or has no date is kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType
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

    @property
    def select_images(self) -> bool:
        """Whether a rule selects images to delete; without one everything is kept."""
        return self.keep_last is not None or self.older_than is not None


class TagDecision(NamedTuple):
    """What to do with a tag: keep it for *keep_reason*, in words, or delete it if that is None."""

    tagged: "TaggedImage"
    keep_reason: str | None


def decide(
    images: "Sequence[TaggedImage]",
    rules: RetentionRules,
    *,
    now: "datetime",
    used: Mapping[str, str] = MappingProxyType({}),
) -> tuple[TagDecision, ...]:
    """
    Return what to do with each tag; *images* are all tags of a repository, with what they need.

    *used* has tags and digests that are in use, each with who uses it.

    If a kept tag needs a digest, all tags of that digest are kept: a deletion would delete what
    the kept tag needs. If it is unknown what a kept tag needs, everything is kept.
    """
    newest = _newest(images, rules.keep_last)
    in_use = {one.tag: _user(one, used) for one in images}
    reasons = {one.tag: in_use[one.tag] or _keep_reason(one, rules, newest, now) for one in images}
    if not rules.select_images:
        default = "kept because no rule selects it"
        reasons = {tag: reason or default for tag, reason in reasons.items()}
    kept = [one for one in images if reasons[one.tag] is not None]
    needed_by = {digest: one.tag for one in reversed(kept) for digest in _needs(one)}
    unseen = next((one.tag for one in kept if one.unseen is not None), None)

    for one in images:
        if reasons[one.tag] is None and one.image is not None:
            if one.image.digest in needed_by:
                reasons[one.tag] = f"kept because tag {needed_by[one.image.digest]} needs it"
            elif unseen is not None:
                reasons[one.tag] = f"kept because it is unknown what tag {unseen} needs"
    return tuple(TagDecision(one, reasons[one.tag]) for one in images)


def _user(tagged: "TaggedImage", used: Mapping[str, str]) -> str | None:
    references = (tagged.tag, *sorted(_needs(tagged)))
    user = next((used[one] for one in references if one in used), None)
    return f"kept because {user} uses it" if user else None


def _needs(tagged: "TaggedImage") -> frozenset[str]:
    image = tagged.image
    own = () if image is None else (image.digest, *(variant.digest for variant in image.variants))
    return tagged.needs.union(own)


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
