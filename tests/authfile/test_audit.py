"""The audit: each rule, how bad it is for which reader, and what it says."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.authfile import hashes
from regctl.authfile.audit import Finding, _Audit, check, check_path, empty_passwords, severity_of
from regctl.authfile.audit_rules import LINE_RULES, SEVERITIES, Rule
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.readers import READERS, AuthFileReader
from regctl.errors import FileAccessError
from tests.authfile.files import APR1, HOSTILE, ROWS

HASH = "$2y$10$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
OTHER = "$2y$10$abcdefghijklmnopqrstuuXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"
SHA1 = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="
YESCRYPT = "$y$j75$saltsalt$0gBD67sgmJgRX3RZ6wHHO7sHimQEWGCWN85o4Twogh2"


def audit(content: str, reader: str | None = None, **context: object) -> dict[str, Finding]:
    """Return the findings by rule."""
    file = HtpasswdFile(content.encode("utf-8", "surrogateescape"))
    found = check(file, READERS[reader] if reader else None, **context)  # type: ignore[arg-type]  # handed on
    return {finding.rule: finding for finding in found}


def test_a_plain_file_of_bcrypt_has_no_findings() -> None:
    content = f"a:{HASH}\n# comment\n\n#regctl:locked b:{HASH}\nc:{OTHER}\n"
    assert audit(content, today=date(2026, 1, 1), mode=0o640) == {}


# Each row: a file, the rule that it breaks, and the severity for any reader, nginx, distribution,
# Traefik, Envoy and httpd; None where there is no such finding.
FILES = {
    "no colon": (f"a:{HASH}\nb\n", "no-colon", "error " * 6),
    "mark": (f"\ufeffa:{HASH}\n", "bom", "error error error error error error"),
    "blank after": (f"a:{HASH} \n", "trailing-blank", "warning error info error info info"),
    "blank before": (f" a:{HASH}\n", "leading-blank", "warning error info error info info"),
    "nbsp before": (f"\xa0a:{HASH}\n", "unicode-blank", "error " * 6),
    "em space after": (f"a:{HASH}\u2003\n", "unicode-blank", "error " * 6),
    "third field": (f"a:{HASH}:x\n", "third-field", "warning - - error info -"),
    "no name": (f":{HASH}\n", "empty-user", "error info error error error error"),
    "crlf": (f"a:{HASH}\r\n", "crlf", "info info info info info info"),
    "long line": (f"a:{HASH}\n#{'x' * 8192}\n", "long-line", "warning - - - - error"),
    "comment": (f"# x\na:{HASH}\n", "comment", "- - - info info -"),
    "blank line": (f"\na:{HASH}\n", "blank-line", "- - - info info -"),
    "latin-1": (f"caf\udce9:{HASH}\n", "name-not-utf-8", "warning " * 6),
    "old tag": (f"a:{HASH.replace('2y', '2x')}\n", "old-bcrypt", "warning " * 6),
    "2b": (f"a:{HASH.replace('2y', '2b')}\n", "bcrypt-2b", "info " * 6),
    "no line feed": (f"a:{HASH}", "no-final-newline", "warning " * 6),
    "no user": ("# nobody\n", "no-users", "error " * 6),
    "near the limit": (f"a:{'x' * 900_000}\n", "size", "warning " * 6),
    "over the limit": (f"a:{'x' * 1_100_000}\n", "size", "error " * 6),
    "two lines": (f"a:{HASH}\na:{OTHER}\n", "duplicate", "error " * 6),
    "bad name": (f"a\tb:{HASH}\n", "name", "warning " * 6),
    "apr1": (f"a:{APR1}\n", "weak-scheme", "warning warning - warning - warning"),
    "apr1 unread": (f"a:{APR1}\n", "scheme", "- - error - error -"),
    "sha1": (f"a:{SHA1}\n", "weak-scheme", "warning warning - warning info warning"),
    "yescrypt": (f"a:{YESCRYPT}\n", "scheme", "warning - error error error -"),
    "clear text": ("a:{PLAIN}hunter2\n", "clear-text", "error " * 6),
    "no hash": ("a:\n", "scheme", "error error error error error error"),
    "bcrypt": (f"a:{HASH}\n", "scheme", "- - - - error -"),
    "low cost": (f"a:{HASH.replace('$10$', '$05$')}\n", "cost-low", "warning " * 6),
    "high cost": (f"a:{HASH.replace('$10$', '$12$')}\n", "cost-high", "warning " * 6),
    "mixed": (f"a:{HASH}\nb:{SHA1}\n", "mixed-cost", "info " * 6),
}
ASKED = [None, "nginx", "distribution", "traefik", "envoy-gateway", "httpd"]


@pytest.mark.parametrize("name", FILES)
def test_a_finding_is_as_bad_as_the_readers_make_it(name: str) -> None:
    content, rule, severities = FILES[name]
    found = [audit(content, reader).get(rule) for reader in ASKED]
    assert [one.severity if one else "-" for one in found] == severities.split()


def test_every_rule_about_lines_is_in_the_table_above() -> None:
    assert {rule.name for rule in LINE_RULES} <= {rule for _, rule, _ in FILES.values()}


def test_the_effect_on_each_reader_is_short() -> None:
    duplicate = f"a:{HASH}\na:{OTHER}\n"
    assert audit(duplicate)["duplicate"].effect == (
        "distribution, traefik, contour: uses the last line; "
        "ingress-nginx, nginx, nginx-gateway-fabric, nginx-ingress, haproxy-ingress, httpd: "
        "uses the first line; "
        "ingress-nginx-auth-map, envoy-gateway, haproxytech, caddy: rejects the whole file"
    )
    assert audit(f"a:{HASH} \n", "nginx")["trailing-blank"].effect == "nginx rejects the user"
    assert audit(f"a:{HASH}\r\n")["crlf"].effect == "no reader is affected"
    assert audit(f"a:{HASH}\r\n", "nginx")["crlf"].effect == "nginx is not affected"
    assert audit("a:\n", "contour")["scheme"].effect == (
        "contour accepts the hash itself as the password"
    )
    weak = audit(f"a:{APR1}\n")["weak-scheme"].effect
    assert weak.startswith("whoever has the file finds a chosen password within hours; ")
    assert "envoy-gateway: rejects the whole file" in weak
    assert audit(f"a:{YESCRYPT}\n", "httpd") == {}


def test_an_effect_of_most_readers_names_the_others() -> None:
    mark = audit(f"\ufeffa:{HASH}\n")["bom"].effect
    assert mark == (
        "all but ingress-nginx-auth-map, haproxytech: rejects the user; "
        "ingress-nginx-auth-map, haproxytech: rejects the whole file"
    )


def test_an_effect_of_every_reader_names_none() -> None:
    words = _Audit(HtpasswdFile(b""), None)._in_words({"rejects-user": list(READERS)})
    assert words == "every reader: rejects the user"


@pytest.mark.parametrize(
    ("reader", "effect", "remedy"),
    [
        ("nginx", "nginx uses the first line", "--fix --for nginx` keeps the line that nginx uses"),
        ("traefik", "traefik uses the last line", "--fix --for traefik` keeps the line that"),
        ("caddy", "caddy rejects the whole file", "`regctl adduser a` leaves one line"),
        (None, "uses the first line", "--for READER` keeps the line that READER uses"),
    ],
)
def test_the_effect_of_several_lines_of_one_user_depends_on_the_reader(
    reader: str | None, effect: str, remedy: str
) -> None:
    found = audit(f"b:{HASH}\na:{HASH}\n# x\nc:{HASH}\na:{OTHER}\n", reader)["duplicate"]
    assert (found.problem, found.lines, found.users) == ("a has 2 lines", (2, 5), ("a",))
    assert effect in found.effect
    assert remedy in found.remedy


def test_identical_lines_of_one_user_need_no_choice() -> None:
    found = audit(f"a:{HASH}\na:{HASH}\n", "caddy")["duplicate"]
    assert found.problem == "a has 2 identical lines"
    assert found.remedy == "`regctl auth check --fix` repairs it"


def test_a_name_that_a_reader_rejects_is_an_error_for_that_reader_only() -> None:
    content = f"two words:{HASH}\nß:{HASH}\n"
    assert "name" not in audit(content)
    found = audit(content, "haproxytech")["name"]
    assert (found.severity, found.lines) == ("error", (1, 2))
    assert found.effect.startswith("haproxytech: a name is a key of the Secret")


def test_a_reason_with_a_colon_is_kept_whole() -> None:
    assert audit(f"a\u202eb:{HASH}\n")["name"].effect == "it has a character that cannot be printed"


def test_a_reader_without_bcrypt_gets_a_remedy_that_it_reads() -> None:
    found = audit(f"a:{HASH}\n", "envoy-gateway")["scheme"]
    assert found.remedy == (
        "`regctl adduser NAME --scheme sha1 --generate`: envoy-gateway accepts no other scheme"
    )


def test_a_cost_over_the_limit_of_the_reader_is_an_error() -> None:
    content = f"a:{HASH.replace('$10$', '$22$')}\n"
    found = audit(content, "ingress-nginx")
    assert found["cost-limit"].severity == "error"
    assert found["cost-limit"].effect == "ingress-nginx accepts 19 at most: it rejects the user"
    assert "cost-high" not in found
    assert audit(content)["cost-excessive"].severity == "error"
    content = content.replace("$22$", "$17$")
    assert audit(content)["cost-high"].effect == "each request takes 128 times the CPU of cost 10"


def test_a_file_in_utf_16_has_no_other_finding() -> None:
    found = check(HtpasswdFile("a:x\n".encode("utf-16")))
    assert [(one.severity, one.rule) for one in found] == [("error", "utf-16")]


def test_only_expired_and_active_users_are_found() -> None:
    content = (
        f"#regctl:expires a:2026-01-31\na:{HASH}\n#regctl:expires b:2026-02-01\nb:{HASH}\n"
        f"#regctl:expires c:2026-01-01\n#regctl:locked c:{HASH}\n"
    )
    assert "expired" not in audit(content)
    found = audit(content, today=date(2026, 1, 31))["expired"]
    assert (found.severity, found.users, found.lines) == ("warning", ("a",), (2,))


def test_an_expired_user_is_treated_as_locked() -> None:
    content = f"#regctl:expires a:2026-01-31\na:{APR1}\na:{APR1}\n"
    assert {"duplicate", "weak-scheme"} <= audit(content, today=date(2026, 1, 30)).keys()
    expired = audit(content, today=date(2026, 1, 31), empty=["a"])
    assert {rule: one.severity for rule, one in expired.items()} == {
        "no-users": "error",
        "expired": "warning",
    }


def test_what_an_upload_corrects_is_no_error_for_a_reader_of_secrets_alone() -> None:
    found = audit(f"a:{HASH} \n", "envoy-gateway")["trailing-blank"]
    assert (found.severity, found.remedy) == ("info", "`regctl auth push` omits it")


@pytest.mark.parametrize(("mode", "found"), [(0o600, False), (0o640, False), (0o644, True)])
def test_a_mode_that_lets_others_read_is_found(mode: int, *, found: bool) -> None:
    assert ("mode" in audit(f"a:{HASH}\n", mode=mode)) == found


def test_many_users_of_one_finding_are_counted() -> None:
    content = "".join(f"user{n}:{APR1}\n" for n in range(8))
    found = audit(content)["weak-scheme"]
    assert found.problem == "apr1: user0, user1, user2, user3, user4 and 3 more"
    assert len(found.users) == len(found.lines) == 8


def test_the_worst_findings_come_first_then_the_first_lines() -> None:
    found = check(HtpasswdFile(HOSTILE))
    order = [(SEVERITIES.index(one.severity), one.lines[:1]) for one in found]
    assert order == sorted(order)


@given(ROWS, st.sampled_from([None, *READERS.values()]))
def test_the_audit_never_fails(rows: list[bytes], reader: AuthFileReader | None) -> None:
    file = HtpasswdFile(b"\n".join(rows))
    for finding in check(file, reader, today=date(2026, 1, 1), empty=["alice"]):
        assert finding.effect
        assert finding.remedy
        assert "{" not in finding.rule + finding.remedy


# The empty password


def test_the_empty_password_is_tried_for_every_active_line() -> None:
    empty = hashes._make_bcrypt(b"", 4)  # make refuses an empty password
    users = f"a:{empty}\nb:{HASH}\n#regctl:locked c:{empty}\nd:!\ne:{empty}\n"
    file = HtpasswdFile(users.encode())
    tried: list[None] = []
    assert empty_passwords(file, lambda: tried.append(None)) == {"a", "e"}
    assert len(tried) == 4
    assert empty_passwords(file, known=[empty]) == frozenset()
    found = audit(file.content.decode(), empty=["a", "e"])["empty-password"]
    assert (found.severity, found.users, found.lines) == ("error", ("a", "e"), (1, 5))


def test_a_hash_that_takes_forever_is_not_tried_and_its_line_is_named() -> None:
    slow = HASH.replace("$10$", "$31$")
    rounds = "$5$rounds=999999999$saltsalt$eKLZU9t9OoPWrqOQsoTIKG0aYkZ5rGOoOQhiIvoSWX2"
    file = HtpasswdFile(f"a:{slow}\nb:{rounds}\n".encode())
    assert empty_passwords(file) == frozenset()
    found = [one for one in check(file) if one.rule == "cost-excessive"]
    assert [(one.severity, one.problem, one.lines) for one in found] == [
        ("error", "bcrypt of cost 31: a", (1,)),
        ("error", "sha256-crypt of cost 999999999: b", (2,)),
    ]


def test_a_file_is_checked_with_its_mode_and_the_empty_password(tmp_path: Path) -> None:
    path = tmp_path / "auth"
    path.write_text(f"a:{hashes._make_bcrypt(b'', 4)}\n")
    path.chmod(0o666)
    assert {one.rule for one in check_path(path)} == {"empty-password", "mode", "cost-low"}
    with pytest.raises(FileAccessError, match="no auth file at"):
        check_path(tmp_path / "nowhere")


# Severities


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ({"ok": ["a"]}, "info"),
        ({"ok": ["a"], "rejects-user": ["b"]}, "warning"),
        ({"ok": ["a"], "admits-nameless": ["b"]}, "error"),
        ({"rejects-user": ["a"], "rejects-file": ["b"]}, "error"),
    ],
)
def test_the_severity_depends_on_how_many_readers_are_affected(
    effects: dict[str, list[str]], expected: str
) -> None:
    assert severity_of(Rule("x", ""), effects) == expected  # type: ignore[arg-type]  # effects
    assert severity_of(Rule("x", "", severity="warning"), effects) == "warning"  # type: ignore[arg-type]  # effects


def test_what_is_wrong_only_in_a_secret_is_an_info() -> None:
    rule = Rule("x", "", harmless=None, only_in_secret=True)
    assert severity_of(rule, {"ok": ["a"]}) is None
    assert severity_of(rule, {"rejects-file": ["a"]}) == "info"
