"""The auth file: lossless, one line for a user, and every problem found."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.authfile import hashes
from regctl.authfile.htpasswd import LINE_LIMIT, HtpasswdFile, check_name
from regctl.authfile.lines import trimmed
from regctl.errors import (
    DifferenceError,
    InvalidUserError,
    LockedUserError,
    MalformedError,
    UnknownUserError,
    UnreadableHashError,
    WrongPasswordError,
)
from tests.authfile.files import APR1, HASH, HOSTILE, NAMES, OTHER, ROWS


@given(st.binary())
def test_any_file_is_returned_byte_for_byte(content: bytes) -> None:
    file = HtpasswdFile(content)
    file.users()
    file.malformed()
    assert file.content == content


@given(ROWS, NAMES)
def test_setting_a_user_leaves_one_line_for_it_and_every_other_line_as_it_was(
    rows: list[bytes], name: str
) -> None:
    file = HtpasswdFile(b"\n".join(rows))
    before = [line.raw for line in file.lines() if line.name != name or line.kind == "expires"]
    file.set(name, "hash")
    again = HtpasswdFile(file.content)
    assert again.hashes(name) == ("hash",)
    assert [line.raw for line in again.lines() if line.value != "hash"] == before
    assert file.content.endswith(b"\n")
    assert file.set(name, "hash") == "unchanged"


@given(rows=ROWS, name=NAMES, indexed=st.booleans())
def test_removing_a_user_leaves_every_other_line_as_it_was(
    rows: list[bytes], name: str, *, indexed: bool
) -> None:
    file = HtpasswdFile(b"\n".join(rows))
    if indexed:
        file.hashes("bob")
        file.hashes("bob")
    before = [line.raw for line in file.lines() if line.name != name]
    was_there = bool(file.hashes(name))
    assert file.remove(name) is was_there
    after = [line.raw for line in HtpasswdFile(file.content).lines()]
    if was_there:
        assert after == before
    assert file.hashes(name) == ()


@given(ROWS)
def test_all_users_and_each_user_are_the_same(rows: list[bytes]) -> None:
    file = HtpasswdFile(b"\n".join(rows))
    users = file.users()
    assert users == [file.user(user.name) for user in users]
    lines = [line.number for line in file.lines() if line.kind in {"user", "locked"}]
    assert sorted(number for user in users for number in user.lines) == lines


def test_users_come_with_scheme_state_lines_and_findings() -> None:
    content = f"a:{HASH}\nb:{APR1}\nb:{HASH}\n#regctl:locked c:{HASH}\nd:!\n:x\n e:{HASH}\n"
    content += "f:\n#regctl:expires a:2026-12-31\n#regctl:expires d:soon\n"
    content += "#regctl:expires gone:2026-01-01\n"
    users = {user.name: user for user in HtpasswdFile(content.encode()).users()}
    assert {name: user.findings for name, user in users.items()} == {
        "a": ("low cost",),
        "b": ("2 lines", "weak scheme"),
        "c": ("low cost",),
        "d": ("unknown scheme", "invalid date"),
        "": ("unknown scheme", "no name"),
        "e": ("low cost", "more than name and hash"),
        "f": ("no password",),
    }
    assert users["a"].scheme == ("bcrypt", "2y", 4)
    assert users["b"].lines == (2, 3)
    assert users["c"].state(date(2026, 12, 31)) == "locked"
    assert users["a"].expires == date(2026, 12, 31)
    assert users["a"].state(date(2026, 12, 31)) == "expired"
    assert users["a"].state(date(2026, 12, 30)) == "active"


def test_active_lines_are_those_of_active_users_and_nothing_else() -> None:
    assert HtpasswdFile(HOSTILE).active_lines() == (
        b"\xef\xbb\xbfbom:x\nindented:y\ntwice:1\ntwice:2\ncaf\xe9:latin\n:nobody\nempty:\n"
        b"unknown:!\x80\nlast:no line feed\n"
    )


def test_no_hash_is_in_a_repr() -> None:
    assert HASH not in repr(HtpasswdFile(f"a:{HASH}".encode()))
    assert HASH not in repr(list(HtpasswdFile(f"a:{HASH}".encode()).lines()))


# Verifying


def verdict(content: str, name: str, password: str) -> str:
    try:
        HtpasswdFile(content.encode()).verify(name, password)
    except (
        DifferenceError,
        LockedUserError,
        UnknownUserError,
        UnreadableHashError,
        WrongPasswordError,
    ) as error:
        return type(error).__name__
    return "right"


@pytest.mark.parametrize(
    ("content", "verdicts"),
    [
        (f"a:{HASH}", "right WrongPasswordError"),
        (f" a:{HASH}:note\r", "right WrongPasswordError"),
        (f"a:{APR1}", "right WrongPasswordError"),
        (f"a:{HASH}\na:{OTHER}", "DifferenceError DifferenceError"),
        (f"a:{HASH}\na:{APR1}", "right WrongPasswordError"),
        (f"#regctl:locked a:{HASH}", "LockedUserError LockedUserError"),
        (f"b:{HASH}", "UnknownUserError UnknownUserError"),
        (f"#a:{HASH}", "UnknownUserError UnknownUserError"),
        ("", "UnknownUserError UnknownUserError"),
        ("a:$y$j9T$s$aa", "UnreadableHashError UnreadableHashError"),
        ("b:$y$j9T$s$aa", "UnknownUserError UnknownUserError"),
        ("a:", "WrongPasswordError WrongPasswordError"),
    ],
)
def test_a_password_is_right_or_the_reason_is_named(content: str, verdicts: str) -> None:
    assert f"{verdict(content, 'a', 'secret')} {verdict(content, 'a', 'other')}" == verdicts


def test_lines_that_differ_are_named() -> None:
    with pytest.raises(DifferenceError, match="matches line 3, not line 1; nginx uses the first"):
        HtpasswdFile(f"a:{OTHER}\nb:x\na:{HASH}\n".encode()).verify("a", "secret")


def test_a_password_matches_if_any_line_of_the_user_has_a_hash_of_it() -> None:
    first, second = hashes.make("first", cost=4), hashes.make("second", cost=4)
    file = HtpasswdFile(f"ci:{first}\nci:{second}\n#regctl:locked bob:{first}\n".encode())
    assert file.matches("ci", "first")
    assert file.matches("ci", "second")
    assert file.matches("bob", "first"), "a locked user still has a password"
    assert not file.matches("ci", "third")
    assert not file.matches("nobody", "first")


@pytest.mark.parametrize("name", ["known", "locked", "unknown"])
def test_as_many_hashes_are_checked_for_an_unknown_user(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hash takes the time: there is one check of the same cost for any name."""
    file = HtpasswdFile(f"known:{HASH}\n#regctl:locked locked:{HASH}\n".encode())
    checked = []
    real = hashes.verify

    def counted(password: str, hash_: str) -> bool:
        checked.append(hashes.identify(hash_))
        return real(password, hash_)

    monkeypatch.setattr(hashes, "verify", counted)
    with pytest.raises((WrongPasswordError, UnknownUserError, LockedUserError)):
        file.verify(name, "wrong")
    assert checked == [("bcrypt", "2y", 4)]


# Locking and expiry


@given(ROWS, NAMES)
def test_unlocking_restores_the_lines_that_locking_hid(rows: list[bytes], name: str) -> None:
    file = HtpasswdFile(b"\n".join(trimmed(row, end=False) for row in rows))
    if name not in {line.name for line in file.lines() if line.kind == "user"}:
        return
    file.unlock(name)
    before = file.content
    assert file.lock(name) == "configured"
    assert file.lock(name) == "unchanged"
    locked = file.user(name)
    assert locked is not None
    assert locked.locked
    readers_see = [line for line in file.content.split(b"\n") if not line.startswith(b"#")]
    assert name not in {line.name for line in HtpasswdFile(b"\n".join(readers_see)).lines()}
    assert name.encode() not in [row.split(b":")[0] for row in file.active_lines().split(b"\n")]
    assert file.unlock(name) == "configured"
    assert file.content.rstrip(b"\n") == before.rstrip(b"\n")


def test_a_user_with_an_active_line_and_a_locked_one_is_active() -> None:
    """As when somebody ran htpasswd on a file with a locked user: servers accept it."""
    content = f"#regctl:locked a:{OTHER}\na:{HASH}\n"
    assert verdict(content, "a", "secret") == "right"
    assert verdict(content, "a", "other") == "WrongPasswordError"
    user = HtpasswdFile(content.encode()).user("a")
    assert user is not None
    assert user.state(date(2026, 1, 1)) == "active"


def test_the_day_of_expiry_is_set_changed_and_removed() -> None:
    file = HtpasswdFile(b"a:1\nb:2\n")
    assert file.expire("b", date(2026, 2, 1)) == "configured"
    assert file.content == b"a:1\n#regctl:expires b:2026-02-01\nb:2\n"
    assert file.expire("b", date(2026, 2, 1)) == "unchanged"
    assert file.expire("b", date(2026, 3, 1)) == "configured"
    assert file.content == b"a:1\n#regctl:expires b:2026-03-01\nb:2\n"
    assert file.expire("b", None) == "configured"
    assert file.content == b"a:1\nb:2\n"
    with pytest.raises(UnknownUserError):
        file.expire("c", None)


# Names


@pytest.mark.parametrize(
    "name", ["alice", "a.b-c_d@e+f", "Zoë", "日本", "two words", "x" * 255, "$x", "a#b"]
)
def test_a_name_that_readers_agree_on_is_valid(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "is empty"),
        ("a:b", "colon"),
        ("#a", "comment"),
        (" a", "space at its start or end"),
        ("a ", "space at its start or end"),
        ("a\tb", "cannot be printed"),
        ("a\nb", "cannot be printed"),
        ("a\0", "cannot be printed"),
        ("a\x7fb", "cannot be printed"),
        ("a\u202eb", "cannot be printed"),
        ("a\udcff", "cannot be printed"),
        ("ä" * 128, "255 bytes"),
    ],
)
def test_a_name_that_readers_do_not_agree_on_is_rejected(name: str, problem: str) -> None:
    with pytest.raises(InvalidUserError, match=problem):
        check_name(name)


@pytest.mark.parametrize("hash_", ["x\nmallory:x", "x\r", "x\0", "x:y", " x", "\x1b[2J"])
def test_what_would_be_read_back_as_something_else_is_not_written(hash_: str) -> None:
    file = HtpasswdFile(b"alice:old\n")
    for name in ("alice", "bob"):
        with pytest.raises(MalformedError, match=f"cannot write the hash of {name}"):
            file.set(name, hash_)
    with pytest.raises(MalformedError):
        file.set("a\nmallory", "x")
    assert file.content == b"alice:old\n"


def test_the_line_of_a_hash_that_takes_too_long_is_named() -> None:
    file = HtpasswdFile(f"bob:{HASH}\nalice:$2y$31${'a' * 53}\n".encode())
    for check in (file.verify, file.matches):
        with pytest.raises(UnreadableHashError, match=r"cost 31 .*\(line 2\)") as caught:
            check("alice", "secret")
        assert caught.value.hint == "`regctl adduser alice` sets a password"


@pytest.mark.parametrize("blank", ["\xa0", "\u2003", "\x85", "\u3000", "\t\u205f "])
def test_a_name_counts_without_the_blanks_that_go_trims(blank: str) -> None:
    content = f"{blank}alice:{HASH}{blank}\nbob:{HASH}\n"

    def file() -> HtpasswdFile:
        return HtpasswdFile(content.encode())

    assert [user.name for user in file().users()] == ["alice", "bob"]
    assert verdict(content, "alice", "secret") == "right"
    assert file().active_lines() == f"alice:{HASH}\nbob:{HASH}\n".encode()
    changed = file()
    assert changed.lock("alice") == "configured"
    assert [user.name for user in changed.users() if user.locked] == ["alice"]
    assert changed.set("alice", OTHER) == "configured"
    assert changed.unlock("alice") == "configured"
    assert changed.content == f"alice:{OTHER}\nbob:{HASH}\n".encode()
    assert changed.remove("alice")
    assert changed.content == f"bob:{HASH}\n".encode()


def test_a_file_of_millions_of_lines_is_not_split() -> None:
    assert len(HtpasswdFile(b"\n" * LINE_LIMIT).users()) == 0
    with pytest.raises(MalformedError, match="it has more than 120000 lines"):
        HtpasswdFile(b"\n" * (LINE_LIMIT + 1))
