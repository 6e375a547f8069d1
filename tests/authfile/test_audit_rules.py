"""The table of the audit's rules: complete, and with words for everything that readers do."""

import string
from typing import get_args

import pytest

from regctl.authfile import audit_rules
from regctl.authfile.audit_rules import EFFECT_WORDS, LINE_RULES, Rule, is_utf8
from regctl.authfile.lines import parse_line
from regctl.authfile.readers import DEFAULT_READER, Effect

RULES = [*LINE_RULES, *(one for one in vars(audit_rules).values() if isinstance(one, Rule))]


def test_there_are_words_for_every_effect() -> None:
    assert set(EFFECT_WORDS) == set(get_args(Effect))


def test_a_rule_about_lines_without_a_severity_is_a_feature_of_readers() -> None:
    by_readers = {rule.name for rule in LINE_RULES if rule.severity is None}
    assert by_readers <= set(DEFAULT_READER.line_features)


def test_no_two_rules_about_lines_have_the_same_name() -> None:
    assert len({rule.name for rule in LINE_RULES}) == len(LINE_RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_has_a_problem_an_effect_and_a_remedy(rule: Rule) -> None:
    for words in (rule.problem, rule.effect, rule.remedy):
        assert words
        assert list(string.Formatter().parse(words))


@pytest.mark.parametrize(
    ("raw", "rules"),
    [
        (b"a:x", []),
        (b"a", ["no-colon"]),
        (b"\xef\xbb\xbfa:x", ["bom"]),
        (b" a:x\t\r", ["trailing-blank", "leading-blank", "crlf"]),
        (b"a:x:y", ["third-field"]),
        (b":x", ["empty-user"]),
        (b"#" * 9000, ["long-line", "comment"]),
        (b"#regctl:locked a:x ", ["comment"]),
        (b"\r", ["crlf", "blank-line"]),
        (b"\xe9:x", ["name-not-utf-8"]),
    ],
)
def test_a_line_matches_the_rules_that_it_breaks(raw: bytes, rules: list[str]) -> None:
    line = parse_line(1, raw)
    assert [rule.name for rule in LINE_RULES if rule.matches(line)] == rules


def test_a_name_that_was_not_utf8_is_recognized() -> None:
    assert is_utf8("Zoë \ufeff")
    assert not is_utf8(b"caf\xe9".decode(errors="surrogateescape"))
