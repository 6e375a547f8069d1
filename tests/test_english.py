"""
What a person reads has none of the words that we avoid: source, docs, completions, tests' names.

CONTRIBUTING.md says how we write.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

AVOIDED = [
    r"all else",
    r"anew",
    r"be it",
    r"br(ing|ings|ought) about",
    r"consumers?",
    r"go(es)? on",
    r"in earnest",
    r"in vain",
    r"lets? .{0,20}\bin",
    r"look(s|ed|ing)? (at|through)",
    r"mend(s|ed|ing)?",
    r"nobody's business",
    r"none the less",
    r"pass(es|ed)? .{0,10}\bover",
    r"said",
    r"sen[dt]s? away",
    r"shuts? .{0,10}\bout",
    r"spoil(s|t|ed)?",
    r"stands? (as|in|on)",
    r"there (is|was) none",
    r"told",
    r"whom",
]
# The names of 1.0, each with the hint for the new one.
OLD_NAMES = ROOT / "src" / "regctl" / "cli" / "habits.py"


def texts() -> Iterator[tuple[str, str]]:
    """Yield each place and its text: whole files, and of the tests their names."""
    files = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        *(ROOT / "completions").iterdir(),
    ]
    for folder, kinds in (("src", {".py", ".json"}), ("docs", {".py", ".md"})):
        files += (path for path in (ROOT / folder).rglob("*") if path.suffix in kinds)
    for path in files:
        if path != OLD_NAMES:
            yield str(path.relative_to(ROOT)), path.read_text()
    for path in (ROOT / "tests").rglob("*.py"):
        names = re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
        yield str(path.relative_to(ROOT)), "\n".join(names)


@pytest.mark.parametrize("word", AVOIDED)
def test_none_of_the_avoided_words_is_used(word: str) -> None:
    """In a name the underscores are spaces."""
    pattern = re.compile(rf"(?<![^\W_]){word}(?![^\W_])", re.IGNORECASE)
    places = [
        f"{path}: {line.strip()}"
        for path, text in texts()
        for line in text.splitlines()
        if pattern.search(line.replace("_", " "))
    ]
    assert not places, "\n".join(places)
