"""`regctl image tag` adds a tag, moves it, or finds it unchanged."""

import json
from pathlib import Path

from tests.cli.commands.image import pushed_digest, run, tags


def test_a_tag_is_added_once(app: str, archive: Path) -> None:
    digest = pushed_digest(run("push", archive, app))
    added = run("tag", f"{app}:1.0", "stable")
    assert added.stdout == f"image/{app}:stable created ({digest})\n"
    again = run("tag", f"{app}@{digest}", "stable")
    assert again.stdout == f"image/{app}:stable unchanged ({digest})\n"


def test_a_tag_is_moved(app: str, archive: Path, layout: Path) -> None:
    run("push", layout, app)
    digest = pushed_digest(run("push", archive, f"{app}:2.0"))
    moved = run("tag", f"{app}:2.0", "1.0", "-o", "json")
    (outcome,) = json.loads(moved.stdout)["results"]
    assert (outcome["result"], outcome["digest"]) == ("configured", digest)


def test_a_dry_run_adds_nothing(app: str, archive: Path) -> None:
    digest = pushed_digest(run("push", archive, app))
    planned = run("tag", f"{app}:1.0", "stable", "--dry-run")
    assert planned.stdout == f"image/{app}:stable created ({digest}) (dry run)\n"
    assert tags(app) == ["1.0"]


def test_a_wrong_tag_and_a_missing_image(app: str, archive: Path) -> None:
    run("push", archive, app)
    assert run("tag", f"{app}:1.0", "a:b").exit_code == 2
    missing = run("tag", f"{app}:none", "stable")
    assert missing.exit_code == 1
    assert "team/app has no tag none; it has 1.0" in missing.stderr
