"""Secrets in foreign text, in the forms that servers and URLs give them."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from regctl.credentials.credential import Credential
from regctl.redaction import redact

CHARACTERS = st.characters(codec="utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("xhunter2-longx", "x***x"),
        ("user=ci&password=hunter2-long", "user=ci&password=***"),
        ("nothing", "nothing"),
    ],
)
def test_a_long_secret_is_taken_out_at_any_place(text: str, shown: str) -> None:
    assert redact(text, ["hunter2-long"]) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the password of alice", "the password of alice"),
        ('"pass" is wrong', '"***" is wrong'),
        ("password=pass&x", "password=***&x"),
        ("passes, compass", "passes, compass"),
    ],
)
def test_a_short_secret_is_taken_out_as_a_word(text: str, shown: str) -> None:
    assert redact(text, ["pass"]) == shown


@example("hunter22%")
@given(st.text(CHARACTERS, min_size=8, max_size=30))
def test_escaped_secrets_are_taken_out(secret: str) -> None:
    forms = {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        # Go's JSON.
        json.dumps(secret)[1:-1].replace("<", "\\u003c").replace("&", "\\u0026"),
    }
    for form in forms:
        assert redact(f"before {form} after", [secret]) == "before *** after"


@given(st.text(CHARACTERS, min_size=1, max_size=30))
def test_basic_authentication_is_taken_out(password: str) -> None:
    credential = Credential("ci", password)
    sent = base64.b64encode(f"ci:{password}".encode()).decode()
    shown = redact(f"Authorization: Basic {sent}", credential.sensitive_values)
    assert sent.rstrip("=") not in shown


def test_of_two_secrets_the_longer_one_is_taken_out_first() -> None:
    assert redact("hunter22-longer", ["hunter22", "hunter22-longer"]) == "***"


def test_bytes_that_are_not_utf_8_are_characters_like_others() -> None:
    assert redact("x \udcffhunter22 y", ["\udcffhunter22"]) == "x *** y"
