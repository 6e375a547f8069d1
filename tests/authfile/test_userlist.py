"""Lists of users in every format, and how one is written to the auth file."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regctl.atomicfile import WriteOptions
from regctl.authfile import hashes, userlist
from regctl.authfile.edit import AddOptions, add_user
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.userlist import Entry, ListOptions, Written
from regctl.errors import InvalidInputError, InvalidUserListError, MalformedError

HASH = hashes.make("secret", cost=4)
QUICK = ListOptions(cost=4)


def read(text: str, source: str = "list") -> dict[str, tuple[str | None, str | None]]:
    return {
        entry.name: (entry.password, entry.hash_)
        for entry in userlist.read(text, source=source).entries
    }


EXPECTED = {
    "alice": ("one", None),
    "bob": ("t:w,o", None),
    "carol": (None, HASH),
    "dan": (None, None),
}


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (f"# team\nalice:one\r\n\nbob:t:w,o\ncarol:{HASH}\ndan:\n", "list"),
        (f'Name,password\nalice,one\nbob,"t:w,o"\ncarol,{HASH}\ndan,\n', "users.csv"),
        (f'name,team,password\nalice,x,one\nbob,y,"t:w,o"\ncarol,,{HASH}\ndan\n', "stdin"),
        (json.dumps({"alice": "one", "bob": "t:w,o", "carol": HASH, "dan": None}), "stdin"),
        (
            json.dumps(
                [
                    {"name": "alice", "password": "one"},
                    {"username": "bob", "password": "t:w,o"},
                    {"user": "carol", "password": HASH},
                    {"name": "dan"},
                ]
            ),
            "users.json",
        ),
        (f"users:\n  alice: one\n  bob: t:w,o\n  carol: {HASH}\n  dan:\n", "users.yaml"),
        (f"[{{name: alice, password: one}}, {{name: bob, password: 't:w,o'}},"  # noqa: ISC004 - one
         f"{{name: carol, password: {HASH}}}, {{name: dan}}]", "users.yml"),
    ],
)  # fmt: skip
def test_every_format_has_the_same_users(text: str, source: str) -> None:
    assert read(text, source) == EXPECTED


@pytest.mark.parametrize(
    ("text", "source", "problems"),
    [
        (
            "alice:1\na b\n:x\n#c:d\nbo\tb:1\nalice:2\ncarol:$2y$10$cut\n",
            "list",
            [
                "list, line 2: there is no name with a password after it",
                "list, line 3: invalid user name '': it is empty",
                (
                    "list, line 5: invalid user name 'bo\\tb': "
                    "it has a character that cannot be printed"
                ),
                "list, line 6: alice is already in line 1",
                (
                    "list, line 7: the hash of carol is invalid: "
                    "cut off, too long, or with a control character"
                ),
            ],
        ),
        (
            "name,password\na,b,c\n,x\n",
            "x.csv",
            [
                "x.csv, line 2: the password of a is not one string: put it in quotes",
                "x.csv, line 3: invalid user name '': it is empty",
            ],
        ),
        (
            '[{"name":"a","password":1},{"password":"x"},"b",{"name":true}]',
            "x.json",
            [
                "x.json, entry 1: the password of a is not one string: put it in quotes",
                "x.json, entry 2: there is no name with a password after it",
                "x.json, entry 3: there is no name with a password after it",
                "x.json, entry 4: the name is not a string: put it in quotes",
            ],
        ),
        ("on: off", "x.yaml", ["x.yaml, entry 1: the name is not a string: put it in quotes"]),
    ],
)
def test_every_invalid_entry_is_named(text: str, source: str, problems: list[str]) -> None:
    with pytest.raises(InvalidUserListError) as caught:
        userlist.read(text, source=source)
    assert list(caught.value.problems) == problems


@pytest.mark.parametrize(
    ("text", "source", "problem"),
    [
        ("{", "x", "cannot read x, line 1: not JSON"),
        ("a: [", "x.yaml", "cannot read x.yaml, line 1"),
        ("just text", "x.yaml", "neither a map of names nor a list"),
        ("a,b\n1,2\n", "x.csv", "has no column 'name'"),
        ("", "x.csv", "has no column 'name'"),
        ('name,password\n"a\n', "x.csv", ""),
    ],
)
def test_text_that_is_not_in_its_format_is_an_error(text: str, source: str, problem: str) -> None:
    with pytest.raises(MalformedError, match=problem or "."):
        userlist.read(text, source=source)


def test_no_password_is_in_a_repr() -> None:
    assert "hunter2" not in repr([Entry("a", "line 1", password="hunter2", hash_="hunter2")])
    assert "hunter2" not in repr(Written((), {"a": "hunter2"}))


# Writing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "auth"


def write(
    path: Path,
    text: str,
    options: ListOptions = QUICK,
    *,
    dry_run: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> Written:
    users = userlist.read(text, source="list")
    return userlist.write(path, users, options, WriteOptions(dry_run=dry_run), progress)


def results(written: Written) -> dict[str, str]:
    return {outcome.name: outcome.result for outcome in written.outcomes}


def test_a_list_is_written_and_then_unchanged(path: Path) -> None:
    path.write_text(f"# ours\nold:{HASH}\nbob:{HASH}\nbob:x\n")
    text = f"alice:one\nbob:secret\ncarol:{HASH}\nold:\n"
    assert results(write(path, text)) == {
        "alice": "created", "bob": "configured", "carol": "created", "old": "unchanged",
    }  # fmt: skip
    file = HtpasswdFile.read(path)
    file.verify("alice", "one")
    file.verify("bob", "secret")
    file.verify("carol", "secret")
    assert path.read_text().startswith(f"# ours\nold:{HASH}\nbob:$2y$04$")
    before = path.stat()
    assert set(results(write(path, text)).values()) == {"unchanged"}
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_the_users_to_remove_are_removed(path: Path) -> None:
    path.write_text(f"gone:x\n#regctl:locked shut:x\nalice:{HASH}\n")
    text = "alice:secret\nbob:x\n"
    gone = userlist.read(text, source="list").not_listed(path)
    options = ListOptions(cost=4, remove=tuple(gone))
    assert results(write(path, text, options, dry_run=True)) == {
        "alice": "unchanged", "bob": "created", "gone": "deleted", "shut": "deleted",
    }  # fmt: skip
    assert path.read_text().startswith("gone:x\n")
    write(path, text, options)
    assert [user.name for user in HtpasswdFile.read(path).users()] == ["alice", "bob"]


def test_only_the_users_that_were_shown_are_removed(path: Path) -> None:
    """Another user may be added between the question and the write."""
    path.write_text("shown:x\n")
    shown = userlist.read("alice:secret", source="list").not_listed(path)
    add_user(path, "late", "secret", AddOptions(cost=4))
    write(path, "alice:secret", ListOptions(cost=4, remove=tuple(shown)))
    assert [user.name for user in HtpasswdFile.read(path).users()] == ["late", "alice"]


def test_missing_passwords_are_generated_for_new_users_only(path: Path) -> None:
    path.write_text(f"old:{HASH}\n")
    text, options = "old:\nnew:\nown:mine\n", ListOptions(cost=4, generate_missing=True)
    assert write(path, text, options, dry_run=True).passwords == {}
    written = write(path, text, options)
    assert results(written) == {"old": "unchanged", "new": "created", "own": "created"}
    assert list(written.passwords) == ["new"]
    HtpasswdFile.read(path).verify("new", written.passwords["new"])
    again = write(path, text, options)
    assert set(results(again).values()) == {"unchanged"}
    assert again.passwords == {}


def test_all_invalid_passwords_are_named_and_nothing_is_written(path: Path) -> None:
    with pytest.raises(InvalidUserListError) as caught:
        write(path, f"a:{'x' * 73}\nb:ok\nc:\nd:a\0b\n")
    assert [problem[:15] for problem in caught.value.problems] == [
        "list, line 1: t", "list, line 3: c", "list, line 4: t",
    ]  # fmt: skip
    assert not path.exists()


def test_the_scheme_and_cost_are_used(path: Path) -> None:
    write(path, "a:secret\n", ListOptions(scheme="sha512-crypt", cost=1000))
    assert HtpasswdFile.read(path).users()[0].scheme == ("sha512-crypt", "6", 1000)
    with pytest.raises(InvalidInputError):
        write(path, "a:secret\n", ListOptions(scheme="sha1", cost=4))


def test_hashing_uses_threads_and_reports_each_entry(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hashes are computed at once: each waits until the other has started."""
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    both = threading.Barrier(2, timeout=30)
    real, counted = hashes.make, list[int]()

    def meeting(*args: str | int | None) -> str:
        both.wait()
        return real(*args)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(hashes, "make", meeting)
    write(path, "a:1\nb:2\nc:3\nd:4\n", progress=lambda: counted.append(1))
    assert len(counted) == 4


def test_a_change_by_somebody_else_during_hashing_is_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_user(path, "alice", "one", AddOptions(cost=4))
    real = hashes.reuse_or_hash

    def meanwhile(*args: Any) -> str:
        monkeypatch.setattr(hashes, "reuse_or_hash", real)
        add_user(path, "alice", "two", AddOptions(cost=4))
        add_user(path, "bob", "three", AddOptions(cost=4))
        return real(*args)

    monkeypatch.setattr(hashes, "reuse_or_hash", meanwhile)
    assert results(write(path, "alice:one\n")) == {"alice": "configured"}
    file = HtpasswdFile.read(path)
    file.verify("alice", "one")
    file.verify("bob", "three")


@pytest.mark.parametrize(
    ("hash_", "problem"),
    [
        ("$6$sa\nmallory:x$" + "a" * 86, "cut off, too long, or with a control character"),
        ("$apr1$sa\rlt$" + "a" * 22, "cut off, too long, or with a control character"),
        ("$5$sa\0lt$" + "a" * 43, "cut off, too long, or with a control character"),
        ("$2y$31$" + "a" * 53, "has cost 31: a check takes too long"),
        ("$6$rounds=999999999$s$" + "a" * 86, "has cost 999999999: a check takes too long"),
    ],
)
def test_a_hash_that_no_reader_should_get_is_refused(hash_: str, problem: str) -> None:
    with pytest.raises(InvalidUserListError) as caught:
        userlist.read(json.dumps({"alice": hash_}), source="x.json")
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].endswith(problem)
