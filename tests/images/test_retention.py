"""Which images may go: rules that keep win, and so does doubt."""

from datetime import datetime, timedelta, timezone

from regctl.images.manifests import Descriptor
from regctl.images.reader import Image, Variant
from regctl.images.retention import Rules, doomed, judge

NOW = datetime(2026, 11, 24, tzinfo=timezone.utc)


def image(digest: str, days: float | None, *, children: tuple[str, ...] = ()) -> Image:
    """An image made so many *days* ago."""
    created = NOW - timedelta(days=days) if days is not None else None
    config = Descriptor(f"{digest}-config", 10, "")
    variants = tuple(
        Variant(child, "", None, config, (), created=created) for child in children or (digest,)
    )
    return Image("tag", digest, "", variants)


def going(images: dict[str, Image | None], rules: Rules) -> set[str]:
    return {verdict.tag for verdict in judge(images, rules, now=NOW) if verdict.kept is None}


FIVE = {str(day): image(f"sha256:{day}", day) for day in (1, 2, 3, 40, 50)}


def test_the_last_few_are_kept() -> None:
    assert going(dict(FIVE), Rules(keep_last=2)) == {"3", "40", "50"}
    assert going(dict(FIVE), Rules(keep_last=9)) == set()


def test_only_what_is_old_goes() -> None:
    assert going(dict(FIVE), Rules(older_than=timedelta(days=30))) == {"40", "50"}


def test_each_rule_that_keeps_wins() -> None:
    rules = Rules(keep_last=4, keep=("5*",), older_than=timedelta(days=2))
    assert going(dict(FIVE), rules) == set()
    assert going(dict(FIVE), Rules(keep_last=1, keep=("5*",))) == {"2", "3", "40"}


def test_what_shares_its_digest_with_a_kept_tag_stays() -> None:
    images: dict[str, Image | None] = {
        "old": image("sha256:a", 90),
        "latest": image("sha256:a", 90),
    }
    assert going(images, Rules(keep=("latest",), older_than=timedelta(days=1))) == set()
    verdicts = judge(images, Rules(keep=("latest",), older_than=timedelta(days=1)), now=NOW)
    assert {verdict.tag: verdict.kept for verdict in verdicts} == {
        "old": "needed by latest",
        "latest": "matches latest",
    }


def test_what_a_kept_index_is_made_of_stays() -> None:
    images: dict[str, Image | None] = {
        "all": image("sha256:index", 90, children=("sha256:amd", "sha256:arm")),
        "amd64": image("sha256:amd", 90),
        "other": image("sha256:other", 90),
    }
    assert going(images, Rules(keep=("all",), older_than=timedelta(days=1))) == {"other"}


def test_doubt_keeps() -> None:
    epoch = (NOW - datetime(1970, 1, 1, tzinfo=timezone.utc)).days
    images: dict[str, Image | None] = {
        "unreadable": None,
        "undated": image("sha256:u", None),
        "reproducible": image("sha256:r", epoch),
        "old": image("sha256:o", 90),
    }
    assert going(images, Rules(keep_last=1)) == set()
    assert going(images, Rules(older_than=timedelta(days=1))) == {"old"}


def test_one_image_with_several_tags_counts_once() -> None:
    images: dict[str, Image | None] = {
        "3": image("sha256:c", 1),
        "latest": image("sha256:c", 1),
        "2": image("sha256:b", 2),
        "1": image("sha256:a", 3),
    }
    assert going(images, Rules(keep_last=2)) == {"1"}


def test_a_digest_that_was_taken_up_since_stays() -> None:
    verdicts = judge(dict(FIVE), Rules(keep_last=3), now=NOW)
    before = {tag: f"sha256:{tag}" for tag in FIVE}
    assert doomed(verdicts, before) == {"sha256:40": ("40",), "sha256:50": ("50",)}
    assert doomed(verdicts, before | {"new": "sha256:40"}) == {"sha256:50": ("50",)}
    assert doomed(verdicts, before | {"50": "sha256:1"}) == {"sha256:40": ("40",)}
    del before["40"]
    assert doomed(verdicts, before) == {"sha256:50": ("50",)}
