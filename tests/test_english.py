"""
No old or translated English in what a person reads: source, docs, completions, tests' names.

CONTRIBUTING.md says how we write. The counts may only fall; a word at zero stays away.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A pattern, and how often it may still occur.
WORDS = {
    r"all else": 2,
    r"anew": 2,
    r"be it": 0,
    r"br(ing|ings|ought) about": 0,
    r"consumers?": 4,
    r"go(es)? on": 2,
    r"in earnest": 0,
    r"in vain": 0,
    r"kept back": 0,
    r"lets? .{0,20}\bin": 4,
    r"look(s|ed|ing)? (at|through)": 3,
    r"makes? (him|it|them) anew": 0,
    r"mend(s|ed|ing)?": 2,
    r"nobody's business": 0,
    r"none the less": 0,
    r"pass(es|ed)? .{0,10}\bover": 0,
    r"said": 8,
    r"sen[dt]s? away": 1,
    r"shuts? .{0,10}\bout": 0,
    r"spoil(s|t|ed)?": 0,
    r"stands? (as|in|on)": 3,
    r"there (is|was) none": 7,
    r"told": 11,
    r"whom": 2,
}


def texts() -> Iterator[tuple[str, str]]:
    """What is read, with where it is: whole files, and of the tests their names."""
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "completions").iterdir()]
    for folder, kinds in (("src", {".py", ".json"}), ("docs", {".py", ".md"})):
        files += (path for path in (ROOT / folder).rglob("*") if path.suffix in kinds)
    for path in files:
        if path.exists():
            yield str(path.relative_to(ROOT)), path.read_text()
    for path in (ROOT / "tests").rglob("*.py"):
        names = re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
        yield str(path.relative_to(ROOT)), "\n".join(names)


def found(word: str) -> list[str]:
    """Where *word* occurs; in a name the underscores are spaces."""
    pattern = re.compile(rf"(?<![^\W_]){word}(?![^\W_])", re.IGNORECASE)
    return [
        f"{path}: {line.strip()}"
        for path, text in texts()
        for line in text.splitlines()
        for _ in pattern.findall(line.replace("_", " "))
    ]


@pytest.mark.parametrize("word", WORDS)
def test_no_such_words(word: str) -> None:
    places = found(word)
    assert len(places) <= WORDS[word], "\n".join(places)
