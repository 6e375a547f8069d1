"""
Which images of a repository may go: the rules of `image prune`, and nothing that asks anybody.

A rule that keeps always wins, and so does doubt: an image that can't be read or has no date stays.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from regctl.images.reader import Image

_UNDATED_BEFORE = 1985


@dataclass(frozen=True)
class Rules:
    """
    What to keep of each repository.

    The *keep_last* images that were made last; tags that a glob of *keep* matches; what is younger
    than *older_than*. An image with several tags counts once.
    """

    keep_last: int | None = None
    keep: tuple[str, ...] = ()
    older_than: timedelta | None = None


@dataclass(frozen=True)
class Verdict:
    """What becomes of a tag: *kept* says why it stays, None where it goes."""

    tag: str
    digest: str | None
    created: datetime | None
    size: int
    kept: str | None


def judge(
    images: Mapping[str, Image | None], rules: Rules, *, now: datetime
) -> tuple[Verdict, ...]:
    """
    Return what becomes of each tag of a repository, by *rules*.

    *images* has the image of each tag, None where it can't be read. A digest that a kept tag uses,
    by itself or as part of an index, is kept with all its tags: deleting it would take the kept
    tag along.
    """
    newest = _newest(images.values(), rules.keep_last)
    reasons = {tag: _reason(tag, image, rules, newest, now) for tag, image in images.items()}
    used: dict[str, str] = {}
    for tag, image in images.items():
        if image is not None and reasons[tag] is not None:
            for digest in (image.digest, *(variant.digest for variant in image.variants)):
                used.setdefault(digest, tag)
    return tuple(
        Verdict(
            tag,
            image.digest if image is not None else None,
            image.created if image is not None else None,
            image.size if image is not None else 0,
            reasons[tag] or _because_used(image, used),
        )
        for tag, image in images.items()
    )


def doomed(verdicts: Sequence[Verdict], current: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """
    Return the digests to delete, each with its tags.

    *current* is what the tags stand for by now: a digest that another tag has taken up since it
    was judged stays.
    """
    going = {v.tag: v.digest for v in verdicts if v.kept is None and v.digest is not None}
    digests: dict[str, list[str]] = {}
    for tag, digest in going.items():
        if current.get(tag) == digest:
            digests.setdefault(digest, []).append(tag)
    taken = {digest for tag, digest in current.items() if going.get(tag) != digest}
    return {digest: tuple(tags) for digest, tags in digests.items() if digest not in taken}


def _newest(images: Iterable[Image | None], count: int | None) -> frozenset[str]:
    made = {image.digest: when for image in images if image is not None and (when := _made(image))}
    ordered = sorted(made, key=lambda digest: made[digest], reverse=True)
    return frozenset(ordered[: count or 0])


def _made(image: Image) -> datetime | None:
    """Return when it was made; builds that are to be the same every time say 1970 or 1980."""
    created = image.created
    return created if created is not None and created.year > _UNDATED_BEFORE else None


def _reason(
    tag: str, image: Image | None, rules: Rules, newest: frozenset[str], now: datetime
) -> str | None:
    if image is None:
        return "it can't be read"
    glob = next((glob for glob in rules.keep if fnmatchcase(tag, glob)), None)
    if glob is not None:
        return f"matches {glob}"
    made = _made(image)
    if made is None:
        return "it does not say when it was made"
    if image.digest in newest:
        return f"one of the last {rules.keep_last}"
    if rules.older_than is not None and now - made < rules.older_than:
        return f"younger than {rules.older_than.days} days"
    return None


def _because_used(image: Image | None, used: Mapping[str, str]) -> str | None:
    tag = used.get(image.digest) if image is not None else None
    return f"needed by {tag}" if tag is not None else None
