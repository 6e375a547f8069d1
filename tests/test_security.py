"""SECURITY.md names tests that exist, and README refers to it."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
SECURITY = (ROOT / "SECURITY.md").read_text()


def test_each_attack_names_tests_that_exist() -> None:
    rows = re.findall(r"^\| .* \| (.*) \|$", SECURITY, re.MULTILINE)[2:]
    assert len(rows) > 10
    for row in rows:
        paths = re.findall(r"`([^`]+)`", row)
        assert paths, row
        for path in paths:
            assert "def test_" in (ROOT / path).read_text(), path


def test_it_says_how_to_report_and_the_readme_refers_to_it() -> None:
    headings = re.findall(r"^## (.*)$", SECURITY, re.MULTILINE)
    assert headings == ["How to report", "What is promised", "What is out of scope"]
    assert "(SECURITY.md)" in (ROOT / "README.md").read_text()
