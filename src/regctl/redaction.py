"""Secrets taken out of text from outside: a server's answer, a URL, the output of a program."""

import json
import re
from collections.abc import Iterable

MASK = "***"
# A shorter secret may be a part of some other word.
_LONG = 8


def redact(text: str, secrets: Iterable[str]) -> str:
    """
    Return foreign *text* with `***` for each of *secrets*, also percent- or JSON-escaped.

    A secret of fewer than eight characters is replaced as a whole word only. What regctl says
    itself is never passed here: it holds no secret, and a password may be an ordinary word.
    """
    # An escaped form is at least as long as the secret.
    present = {secret for secret in secrets if 0 < len(secret) <= len(text)}
    for secret in sorted(present, key=len, reverse=True):
        pattern = "".join(map(_any_form, secret))
        if len(secret) < _LONG:
            pattern = rf"(?<!\w){pattern}(?!\w)"
        text = re.sub(pattern, MASK, text)
    return text


def _any_form(character: str) -> str:
    """Return the pattern of a character: as it is, percent-escaped, or as in a JSON string."""
    if character.isascii() and character.isalnum():
        return character
    encoded = character.encode(errors="surrogateescape")
    # Go's JSON escapes <, > and & by number, too; PHP's escapes the slash.
    units = character.encode("utf-16-be", "surrogatepass")
    numbers = "".join(rf"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
    escaped = "".join(f"%{byte:02x}" for byte in encoded)
    # The escaped forms come first: a percent sign is the first character of its own escape.
    forms = [f"(?i:{escaped})", f"(?i:{numbers})", re.escape(json.dumps(character)[1:-1])]
    forms.append(rf"\\?{re.escape(character)}")
    if character == " ":
        forms.append(r"\+")
    return f"(?:{'|'.join(forms)})"
