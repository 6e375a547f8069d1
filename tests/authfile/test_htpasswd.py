"""The auth file: lossless, one line for a user, and honest about what is wrong."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.authfile import hashes
from regctl.authfile.htpasswd import (
    Expiry,
    HtpasswdFile,
    add_user,
    check_name,
    lock_due,
    lock_users,
    remove_users,
)
from regctl.errors import (
    DifferenceError,
    FileAccessError,
    InvalidInputError,
    InvalidPasswordError,
    InvalidUserError,
    LockedUserError,
    MalformedError,
    UnknownUserError,
    UnreadableHashError,
    UserExistsError,
    WrongPasswordError,
)

SECRET = hashes.make("secret", cost=4)
OTHER = hashes.make("other", cost=4)
APR1 = "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"  # "secret"

HOSTILE = (
    b"\xef\xbb\xbfbom:x\r\n"
    b"# a comment: with a colon\n"
    b"\n  \t\n"
    b" indented:y \t\n"
    b"twice:1\ntwice:2:note\n"
    b"caf\xe9:latin\n"
    b":nobody\n"
    b"empty:\n"
    b"#regctl:locked shut:z\n"
    b"#regctl:wyrd\n"
    b"unknown:!\x80\n"
    b"last:no line feed"
)


@given(st.binary())
def test_any_file_is_given_back_byte_for_byte(content: bytes) -> None:
    file = HtpasswdFile(content)
    file.users()
    file.malformed()
    assert file.content == content


ROWS = st.lists(
    st.one_of(
        st.binary(max_size=12).map(lambda row: row.replace(b"\n", b"")),
        st.sampled_from(HOSTILE.split(b"\n")),
        st.builds(
            lambda name, secret, end: name + b":" + secret + end,
            st.sampled_from([b"alice", b"bob", b" alice", b"al", b"alice ", b"#alice"]),
            st.sampled_from([SECRET.encode(), b"x", b""]),
            st.sampled_from([b"", b"\r", b" ", b":note"]),
        ),
    )
)
NAMES = st.sampled_from(["alice", "bob", "al", "new"])


@given(ROWS, NAMES)
def test_setting_a_user_leaves_one_line_for_it_and_every_other_line_as_it_was(
    rows: list[bytes], name: str
) -> None:
    file = HtpasswdFile(b"\n".join(rows))
    before = [line.raw for line in file.lines() if line.name != name or line.kind == "expires"]
    file.set(name, "hash")
    again = HtpasswdFile(file.content)
    assert again.secrets(name) == ("hash",)
    assert [line.raw for line in again.lines() if line.value != "hash"] == before
    assert file.content.endswith(b"\n")
    assert file.set(name, "hash") == "unchanged"


@given(ROWS, NAMES, st.booleans())
def test_a_file_is_written_the_same_whether_it_was_taken_apart_or_not(
    rows: list[bytes], name: str, remove: bool
) -> None:
    whole, apart = HtpasswdFile(b"\n".join(rows)), HtpasswdFile(b"\n".join(rows))
    apart.users()
    for other in ("x", "y", "z"):
        apart.secrets(other)
    assert whole.malformed() == apart.malformed()
    for file in (whole, apart):
        file.set(name, "one")
        file.set("another", "two")
        file.set(name, "three")
        if remove:
            file.remove(name)
    assert whole.content == apart.content
    names = [user.name for user in whole.users()]
    assert names == [user.name for user in HtpasswdFile(whole.content).users()]


@given(rows=ROWS, name=NAMES, indexed=st.booleans())
def test_removing_a_user_leaves_every_other_line_as_it_was(
    rows: list[bytes], name: str, *, indexed: bool
) -> None:
    file = HtpasswdFile(b"\n".join(rows))
    if indexed:
        file.secrets("bob")
        file.secrets("bob")
    before = [line.raw for line in file.lines() if line.name != name]
    was_there = bool(file.secrets(name))
    assert file.remove(name) is was_there
    after = [line.raw for line in HtpasswdFile(file.content).lines()]
    if was_there:
        assert after == before
    assert file.secrets(name) == ()


@given(ROWS)
def test_the_quick_look_at_users_agrees_with_the_thorough_one(rows: list[bytes]) -> None:
    file = HtpasswdFile(b"\n".join(rows))
    users = file.users()
    assert users == [file.user(user.name) for user in users]
    lines = [line.number for line in file.lines() if line.kind in {"user", "locked"}]
    assert sorted(number for user in users for number in user.lines) == lines


def test_hostile_lines_are_told_apart() -> None:
    kinds = [(line.number, line.kind, line.name) for line in HtpasswdFile(HOSTILE).lines()]
    assert kinds == [
        (1, "user", "\ufeffbom"),
        (2, "comment", ""),
        (3, "blank", ""),
        (4, "blank", ""),
        (5, "user", "indented"),
        (6, "user", "twice"),
        (7, "user", "twice"),
        (8, "user", "caf\udce9"),
        (9, "user", ""),
        (10, "user", "empty"),
        (11, "locked", "shut"),
        (12, "comment", ""),
        (13, "user", "unknown"),
        (14, "user", "last"),
    ]


def test_users_come_with_scheme_state_lines_and_findings() -> None:
    content = f"a:{SECRET}\nb:{APR1}\nb:{SECRET}\n#regctl:locked c:{SECRET}\nd:!\n:x\n e:{SECRET}\n"
    content += "f:\n#regctl:expires a:2026-12-31\n#regctl:expires d:soon\n"
    content += "#regctl:expires gone:2026-01-01\n"
    users = {user.name: user for user in HtpasswdFile(content.encode()).users()}
    assert {name: user.findings for name, user in users.items()} == {
        "a": ("low cost",),
        "b": ("2 lines", "weak scheme"),
        "c": ("low cost",),
        "d": ("unknown scheme", "unreadable date"),
        "": ("unknown scheme", "no name"),
        "e": ("low cost", "more than name and hash"),
        "f": ("no password",),
    }
    assert users["a"].scheme == ("bcrypt", "2y", 4)
    assert users["b"].lines == (2, 3)
    assert users["c"].state(date(2026, 12, 31)) == "locked"
    assert users["a"].expires == date(2026, 12, 31)
    assert users["a"].state(date(2026, 12, 31)) == "expired"
    assert users["a"].state(date(2026, 12, 30)) == "open"


@pytest.mark.parametrize(
    ("content", "numbers"),
    [
        (b"a:1\nno colon\nb:2\n", [2]),
        (b"a:1\n\xff\xfea\0:\0", [2]),
        (b"a:1\r\n\r\n# comment\n  # comment\n", []),
        (b"password", [1]),
        (b"\0", [1]),
        (b"", []),
    ],
)
def test_malformed_lines_are_those_that_stop_the_registry(
    content: bytes, numbers: list[int]
) -> None:
    assert [line.number for line in HtpasswdFile(content).malformed()] == numbers


def test_a_missing_final_newline_never_joins_two_users() -> None:
    file = HtpasswdFile(b"alice:1")
    file.set("bob", "2")
    assert file.content == b"alice:1\nbob:2\n"


def test_what_is_published_are_open_users_and_nothing_else() -> None:
    assert HtpasswdFile(HOSTILE).published() == (
        b"\xef\xbb\xbfbom:x\nindented:y\ntwice:1\ntwice:2\ncaf\xe9:latin\n:nobody\nempty:\n"
        b"unknown:!\x80\nlast:no line feed\n"
    )


def test_no_hash_shows_when_a_line_is_printed() -> None:
    assert SECRET not in repr(HtpasswdFile(f"a:{SECRET}".encode()))
    assert SECRET not in repr(list(HtpasswdFile(f"a:{SECRET}".encode()).lines()))


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
    return "in"


@pytest.mark.parametrize(
    ("content", "verdicts"),
    [
        (f"a:{SECRET}", "in WrongPasswordError"),
        (f" a:{SECRET}:note\r", "in WrongPasswordError"),
        (f"a:{APR1}", "in WrongPasswordError"),
        (f"a:{SECRET}\na:{OTHER}", "DifferenceError DifferenceError"),
        (f"a:{SECRET}\na:{APR1}", "in WrongPasswordError"),
        (f"#regctl:locked a:{SECRET}", "LockedUserError LockedUserError"),
        (f"b:{SECRET}", "UnknownUserError UnknownUserError"),
        (f"#a:{SECRET}", "UnknownUserError UnknownUserError"),
        ("", "UnknownUserError UnknownUserError"),
        ("a:$y$j9T$s$aa", "UnreadableHashError UnreadableHashError"),
        ("b:$y$j9T$s$aa", "UnknownUserError UnknownUserError"),
        ("a:", "WrongPasswordError WrongPasswordError"),
    ],
)
def test_a_password_opens_the_file_or_the_reason_is_named(content: str, verdicts: str) -> None:
    assert f"{verdict(content, 'a', 'secret')} {verdict(content, 'a', 'other')}" == verdicts


def test_several_lines_that_disagree_are_named() -> None:
    with pytest.raises(DifferenceError, match="opens line 3, not line 1; nginx takes the first"):
        HtpasswdFile(f"a:{OTHER}\nb:x\na:{SECRET}\n".encode()).verify("a", "secret")


@pytest.mark.parametrize("name", ["known", "locked", "unknown"])
def test_as_many_hashes_are_checked_for_an_unknown_user(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes time is the hash: one check of the same cost, whoever is asked for."""
    file = HtpasswdFile(f"known:{SECRET}\n#regctl:locked locked:{SECRET}\n".encode())
    checked = []
    real = hashes.verify

    def counted(password: str, secret: str) -> bool:
        checked.append(hashes.identify(secret))
        return real(password, secret)

    monkeypatch.setattr(hashes, "verify", counted)
    with pytest.raises((WrongPasswordError, UnknownUserError, LockedUserError)):
        file.verify(name, "wrong")
    assert checked == [("bcrypt", "2y", 4)]


# Locking and expiry


@given(ROWS, NAMES)
def test_a_locked_user_is_out_and_unlocking_gives_the_lines_back(
    rows: list[bytes], name: str
) -> None:
    file = HtpasswdFile(b"\n".join(row.lstrip() for row in rows))
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
    assert name.encode() not in [row.split(b":")[0] for row in file.published().split(b"\n")]
    assert file.unlock(name) == "configured"
    assert file.content.rstrip(b"\n") == before.rstrip(b"\n")


def test_a_user_with_an_open_line_beside_a_locked_one_is_open() -> None:
    """As when somebody ran htpasswd on a file with a locked user: servers let it in."""
    content = f"#regctl:locked a:{OTHER}\na:{SECRET}\n"
    assert verdict(content, "a", "secret") == "in"
    assert verdict(content, "a", "other") == "WrongPasswordError"
    user = HtpasswdFile(content.encode()).user("a")
    assert user is not None
    assert user.state(date(2026, 1, 1)) == "open"


def test_a_day_to_expire_is_set_moved_and_taken_away() -> None:
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


def test_who_is_due_is_locked_and_nobody_else(path: Path) -> None:
    path.write_text("#regctl:expires a:2026-01-31\na:1\n#regctl:expires b:2026-02-01\nb:2\nc:3\n")
    assert lock_due(path, date(2026, 1, 30)) == []
    before = path.stat().st_mtime_ns
    assert lock_due(path, date(2026, 1, 31), dry_run=True) == ["a"]
    assert path.stat().st_mtime_ns == before
    assert lock_due(path, date(2026, 1, 31)) == ["a"]
    assert lock_due(path, date(2026, 1, 31)) == []
    assert HtpasswdFile.read(path).published() == b"b:2\nc:3\n"


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("90d", date(2026, 4, 1)),
        ("2w", date(2026, 1, 15)),
        ("2026-01-02", date(2026, 1, 2)),
        ("never", None),
    ],
)
def test_a_time_to_expire_is_a_span_a_date_or_never(text: str, day: date | None) -> None:
    assert Expiry.parse(text, date(2026, 1, 1)).day == day


@pytest.mark.parametrize(
    "text", ["", "soon", "90", "90h", "2026-13-01", "2026-01-01", "2025-12-31", "0d", "999999w"]
)
def test_a_time_to_expire_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="not a time to expire"):
        Expiry.parse(text, date(2026, 1, 1))


def test_adding_a_user_keeps_its_day_unless_another_is_given(path: Path) -> None:
    never, some = Expiry(None), Expiry(date(2026, 2, 1))
    assert add_user(path, "a", "x", cost=4, expires=some) == "created"
    assert add_user(path, "a", "x", cost=4) == "unchanged"
    assert add_user(path, "a", "y", cost=4) == "configured"
    assert HtpasswdFile.read(path).users()[0].expires == date(2026, 2, 1)
    assert add_user(path, "a", "y", cost=4, expires=never) == "configured"
    assert add_user(path, "a", "y", cost=4, expires=never) == "unchanged"
    assert HtpasswdFile.read(path).users()[0].expires is None


def test_several_users_are_locked_together_or_not_at_all(path: Path) -> None:
    path.write_text("a:1\nb:2\n")
    with pytest.raises(UnknownUserError):
        lock_users(path, ["a", "c"], locked=True)
    assert path.read_text() == "a:1\nb:2\n"
    assert lock_users(path, ["a", "b"], locked=True) == ["configured", "configured"]
    assert lock_users(path, ["a"], locked=False) == ["configured"]
    assert path.read_text() == "a:1\n#regctl:locked b:2\n"


# Names


@pytest.mark.parametrize(
    "name", ["alice", "a.b-c_d@e+f", "Zoë", "日本", "two words", "x" * 255, "$x", "a#b"]
)
def test_a_name_that_every_reader_takes_alike_is_fine(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "is empty"),
        ("a:b", "colon"),
        ("#a", "comment"),
        (" a", "space at its start or end"),
        ("a ", "space at its start or end"),
        ("a\tb", "can't be printed"),
        ("a\nb", "can't be printed"),
        ("a\0", "can't be printed"),
        ("a\x7fb", "can't be printed"),
        ("a\u202eb", "can't be printed"),
        ("a\udcff", "can't be printed"),
        ("ä" * 128, "255 bytes"),
    ],
)
def test_a_name_that_some_reader_would_take_for_another_is_refused(name: str, said: str) -> None:
    with pytest.raises(InvalidUserError, match=said):
        check_name(name)


# On disk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "auth"


def test_a_user_is_created_configured_and_then_unchanged(path: Path) -> None:
    assert add_user(path, "alice", "one", cost=4) == "created"
    assert add_user(path, "alice", "two", cost=4) == "configured"
    before = path.stat()
    assert add_user(path, "alice", "two", cost=4) == "unchanged"
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    HtpasswdFile.read(path).verify("alice", "two")


def test_a_weaker_hash_of_the_same_password_is_made_anew(path: Path) -> None:
    path.write_text(f"alice:{APR1}\n")
    assert add_user(path, "alice", "secret") == "configured"
    assert HtpasswdFile.read(path).users()[0].scheme == ("bcrypt", "2y", 10)
    assert add_user(path, "alice", "secret") == "unchanged"


def test_what_adduser_sh_wrote_is_read_and_repaired_by_the_next_write(path: Path) -> None:
    path.write_text(f"# keep\nbob:{APR1}\nalice:{APR1}\nbob:{OTHER}")
    assert add_user(path, "bob", "secret", cost=4) == "configured"
    lines = path.read_text().splitlines()
    assert [line[:6] for line in lines] == ["# keep", "bob:$2", "alice:"]
    HtpasswdFile.read(path).verify("bob", "secret")


def test_duplicates_of_the_same_hash_are_joined(path: Path) -> None:
    path.write_text(f"bob:{SECRET}\nbob:{SECRET}\n")
    assert add_user(path, "bob", "secret", cost=4) == "configured"
    assert path.read_text() == f"bob:{SECRET}\n"


def test_a_locked_user_gets_its_password_and_stays_locked(path: Path) -> None:
    path.write_text(f"#regctl:locked bob:{OTHER}\n")
    add_user(path, "bob", "secret", cost=4)
    with pytest.raises(LockedUserError):
        HtpasswdFile.read(path).verify("bob", "secret")


def test_a_user_that_is_there_can_be_refused(path: Path) -> None:
    add_user(path, "alice", "one", cost=4)
    before = path.read_bytes()
    with pytest.raises(UserExistsError, match="user alice is in "):
        add_user(path, "alice", "two", cost=4, update=False)
    assert path.read_bytes() == before


def test_a_malformed_line_refuses_the_write_and_is_named(path: Path) -> None:
    content = "a:1\n" + "oops\n" * 7
    path.write_text(content)
    with pytest.raises(MalformedError, match=r"line 2, 3, 4, 5, 6 and 2 more; nothing was written"):
        add_user(path, "alice", "secret", cost=4)
    with pytest.raises(MalformedError, match="in line 2"):
        remove_users(path, ["a"])
    assert path.read_text() == content


@pytest.mark.parametrize("password", ["", "x" * 73, "a\0b"])
def test_a_password_that_is_refused_changes_nothing(path: Path, password: str) -> None:
    with pytest.raises(InvalidPasswordError):
        add_user(path, "alice", password)
    assert not path.exists()


def test_a_dry_run_says_the_same_and_writes_nothing(path: Path) -> None:
    assert add_user(path, "alice", "secret", cost=4, dry_run=True) == "created"
    assert not path.exists()
    add_user(path, "alice", "secret", cost=4)
    before = path.read_bytes()
    assert add_user(path, "alice", "other", cost=4, dry_run=True) == "configured"
    assert remove_users(path, ["alice"], dry_run=True) == [True]
    assert path.read_bytes() == before


def test_somebody_else_setting_the_password_meanwhile_is_noticed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing is done before the lock is taken; what was decided then may be stale."""
    add_user(path, "alice", "one", cost=4)
    real = hashes.is_good_enough

    def meanwhile(*args: str | int | None) -> bool:
        monkeypatch.setattr(hashes, "is_good_enough", real)
        add_user(path, "alice", "two", cost=4)
        return real(*args)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(hashes, "is_good_enough", meanwhile)
    assert add_user(path, "alice", "one", cost=4) == "configured"
    HtpasswdFile.read(path).verify("alice", "one")


def test_users_are_removed_with_all_their_lines_and_marks_in_one_write(path: Path) -> None:
    path.write_text("#regctl:expires a:2026-01-01\na:1\nb:2\n a:3\n#regctl:locked c:4\nd:5")
    assert remove_users(path, ["a", "c", "x"]) == [True, True, False]
    assert path.read_text() == "b:2\nd:5\n"


def test_a_file_that_is_not_there_has_no_users_to_remove(path: Path) -> None:
    with pytest.raises(FileAccessError, match="no auth file at"):
        remove_users(path, ["a"])
    assert not path.exists()
