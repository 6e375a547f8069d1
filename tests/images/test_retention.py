"""Which images to delete: a rule that keeps an image wins, and so does doubt."""

from datetime import datetime, timedelta, timezone

from regctl.errors import RegistryError
from regctl.images.manifests import Configuration, Descriptor, ImageManifest
from regctl.images.reader import Image, TaggedImage, Variant
from regctl.images.retention import RetentionRules, TagDecision, decide

NOW = datetime(2026, 11, 24, tzinfo=timezone.utc)
DAY = 86400.0


def image(digest: str, days: float | None, *, children: tuple[str, ...] = ()) -> Image:
    """An image that was built *days* ago."""
    created = NOW - timedelta(days=days) if days is not None else None
    manifest = ImageManifest("", Descriptor(f"{digest}-config", 10, ""), ())
    variants = tuple(
        Variant(child, None, manifest, Configuration(created=created))
        for child in children or (digest,)
    )
    return Image("tag", digest, "", variants)


def decisions_on(images: dict[str, Image | None], rules: RetentionRules) -> tuple[TagDecision, ...]:
    """The decisions on tags, each with its image, or None if it cannot be read."""
    return decide([TaggedImage(tag, one) for tag, one in images.items()], rules, now=NOW)


def deleted_tags(images: dict[str, Image | None], rules: RetentionRules) -> set[str]:
    return {one.tagged.tag for one in decisions_on(images, rules) if one.keep_reason is None}


FIVE = {str(day): image(f"sha256:{day}", day) for day in (1, 2, 3, 40, 50)}


def test_the_last_images_are_kept() -> None:
    assert deleted_tags(dict(FIVE), RetentionRules(keep_last=2)) == {"3", "40", "50"}
    assert deleted_tags(dict(FIVE), RetentionRules(keep_last=9)) == set()


def test_only_old_images_are_deleted() -> None:
    assert deleted_tags(dict(FIVE), RetentionRules(older_than=30 * DAY)) == {"40", "50"}


def test_every_rule_that_keeps_an_image_wins() -> None:
    rules = RetentionRules(keep_last=4, keep=("5*",), older_than=2 * DAY)
    assert deleted_tags(dict(FIVE), rules) == set()
    assert deleted_tags(dict(FIVE), RetentionRules(keep_last=1, keep=("5*",))) == {"2", "3", "40"}


def test_a_tag_with_the_digest_of_a_kept_tag_is_kept() -> None:
    images: dict[str, Image | None] = {
        "old": image("sha256:a", 90),
        "latest": image("sha256:a", 90),
    }
    rules = RetentionRules(keep=("latest",), older_than=1 * DAY)
    assert {one.tagged.tag: one.keep_reason for one in decisions_on(images, rules)} == {
        "old": "kept because tag latest needs it",
        "latest": "kept by --keep latest",
    }


def test_the_images_of_a_kept_index_are_kept() -> None:
    images: dict[str, Image | None] = {
        "all": image("sha256:index", 90, children=("sha256:amd", "sha256:arm")),
        "amd64": image("sha256:amd", 90),
        "other": image("sha256:other", 90),
    }
    assert deleted_tags(images, RetentionRules(keep=("all",), older_than=1 * DAY)) == {"other"}


def test_an_unreadable_or_undated_image_is_kept() -> None:
    epoch = (NOW - datetime(1970, 1, 1, tzinfo=timezone.utc)).days
    images: dict[str, Image | None] = {
        "unreadable": None,
        "undated": image("sha256:u", None),
        "reproducible": image("sha256:r", epoch),
        "old": image("sha256:o", 90),
    }
    assert deleted_tags(images, RetentionRules(keep_last=1)) == set()
    assert deleted_tags(images, RetentionRules(older_than=1 * DAY)) == {"old"}


def test_one_image_with_several_tags_counts_once() -> None:
    images: dict[str, Image | None] = {
        "3": image("sha256:c", 1),
        "latest": image("sha256:c", 1),
        "2": image("sha256:b", 2),
        "1": image("sha256:a", 3),
    }
    assert deleted_tags(images, RetentionRules(keep_last=2)) == {"1"}


def test_what_a_kept_tag_needs_is_kept() -> None:
    needs = frozenset({"sha256:index", "sha256:attestation", "sha256:subject"})
    kept = TaggedImage("all", image("sha256:index", 90), needs=needs)
    others = [
        TaggedImage(name, image(f"sha256:{name}", 90))
        for name in ("attestation", "subject", "other")
    ]
    rules = RetentionRules(keep=("all",), older_than=1 * DAY)
    assert {one.tagged.tag: one.keep_reason for one in decide([kept, *others], rules, now=NOW)} == {
        "all": "kept by --keep all",
        "attestation": "kept because tag all needs it",
        "subject": "kept because tag all needs it",
        "other": None,
    }


def test_everything_is_kept_if_it_is_unknown_what_a_kept_tag_needs() -> None:
    blind = TaggedImage("all", image("sha256:index", 1), unseen=RegistryError("cannot get it"))
    old = TaggedImage("old", image("sha256:old", 90))
    rules = RetentionRules(older_than=30 * DAY)
    assert [one.keep_reason for one in decide([blind, old], rules, now=NOW)] == [
        "kept by --older-than: built 2026-11-23",
        "kept because it is unknown what tag all needs",
    ]
    old_blind = TaggedImage("all", image("sha256:index", 90), unseen=blind.unseen)
    assert [one.keep_reason for one in decide([old_blind, old], rules, now=NOW)] == [None, None]


def test_without_a_rule_nothing_is_selected() -> None:
    assert deleted_tags(dict(FIVE), RetentionRules()) == set()
    assert deleted_tags(dict(FIVE), RetentionRules(keep=("4*",))) == set()
