"""Lists of users, in every format that people have, and the auth file made from one."""

import json
import threading
from pathlib import Path

import pytest

from regctl.atomicfile import WriteOptions
from regctl.authfile import hashes, userlist
from regctl.authfile.htpasswd import HtpasswdFile, add_user
from regctl.authfile.userlist import Entry, Wish, Written
from regctl.errors import InvalidInputError, InvalidUserListError, MalformedError

SECRET = hashes.make("secret", cost=4)
QUICK = Wish(cost=4)


def read(text: str, source: str = "list") -> dict[str, tuple[str | None, str | None]]:
    return {
        entry.name: (entry.password, entry.secret) for entry in userlist.read(text, source=source)
    }


EXPECTED = {
    "alice": ("one", None),
    "bob": ("t:w,o", None),
    "carol": (None, SECRET),
    "dan": (None, None),
}


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (f"# team\nalice:one\r\n\nbob:t:w,o\ncarol:{SECRET}\ndan:\n", "list"),
        (f'Name,password\nalice,one\nbob,"t:w,o"\ncarol,{SECRET}\ndan,\n', "users.csv"),
        (f'name,team,password\nalice,x,one\nbob,y,"t:w,o"\ncarol,,{SECRET}\ndan\n', "stdin"),
        (json.dumps({"alice": "one", "bob": "t:w,o", "carol": SECRET, "dan": None}), "stdin"),
        (
            json.dumps(
                [
                    {"name": "alice", "password": "one"},
                    {"username": "bob", "password": "t:w,o"},
                    {"user": "carol", "password": SECRET},
                    {"name": "dan"},
                ]
            ),
            "users.json",
        ),
        (f"users:\n  alice: one\n  bob: t:w,o\n  carol: {SECRET}\n  dan:\n", "users.yaml"),
        (f"[{{name: alice, password: one}}, {{name: bob, password: 't:w,o'}},"  # noqa: ISC004 - one
         f"{{name: carol, password: {SECRET}}}, {{name: dan}}]", "users.yml"),
    ],
)  # fmt: skip
def test_every_format_says_the_same(text: str, source: str) -> None:
    assert read(text, source) == EXPECTED


@pytest.mark.parametrize(
    ("text", "source", "problems"),
    [
        (
            "alice:1\na b\n:x\n#c:d\nbo\tb:1\nalice:2\ncarol:$2y$10$cut\n",
            "list",
            [
                "list, line 2: no name with a password after it",
                "list, line 3: not a user name: '': it is empty",
                "list, line 5: not a user name: 'bo\\tb': it has a character that can't be printed",
                "list, line 6: alice is in line 1 already",
                "list, line 7: the hash of carol is not one: cut off, or with something added",
            ],
        ),
        (
            "name,password\na,b,c\n,x\n",
            "x.csv",
            [
                "x.csv, line 2: more fields than the header: put a password with a comma in quotes",
                "x.csv, line 3: not a user name: '': it is empty",
            ],
        ),
        (
            '[{"name":"a","password":1},{"password":"x"},"b",{"name":true}]',
            "x.json",
            [
                "x.json, entry 1: the password of a is not text: put it in quotes",
                "x.json, entry 2: no name with a password after it",
                "x.json, entry 3: no name with a password after it",
                "x.json, entry 4: the name is not text: put it in quotes",
            ],
        ),
        ("on: off", "x.yaml", ["x.yaml, entry 1: the name is not text: put it in quotes"]),
    ],
)
def test_every_bad_entry_is_named(text: str, source: str, problems: list[str]) -> None:
    with pytest.raises(InvalidUserListError) as caught:
        userlist.read(text, source=source)
    assert list(caught.value.problems) == problems


@pytest.mark.parametrize(
    ("text", "source", "said"),
    [
        ("{", "x", "cannot read x, line 1: not JSON"),
        ("a: [", "x.yaml", "cannot read x.yaml, line 1"),
        ("just text", "x.yaml", "neither a map of names nor a list"),
        ("a,b\n1,2\n", "x.csv", "names no column 'name'"),
        ("", "x.csv", "names no column 'name'"),
        ('name,password\n"a\n', "x.csv", ""),
    ],
)
def test_what_is_not_of_its_format_is_said_to_be(text: str, source: str, said: str) -> None:
    with pytest.raises(MalformedError, match=said or "."):
        userlist.read(text, source=source)


def test_no_password_shows_when_an_entry_is_printed() -> None:
    assert "hunter2" not in repr([Entry("a", "line 1", password="hunter2", secret="hunter2")])
    assert "hunter2" not in repr(Written("a", "created", "hunter2"))


# Writing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "auth"


def write(path: Path, text: str, wish: Wish = QUICK, **options: object) -> dict[str, str]:
    entries = userlist.read(text, source="list")
    removable = userlist.removed(path, entries)
    written = userlist.write(
        path,
        entries,
        wish,
        source="list",
        removable=removable,
        how=WriteOptions(),
        **options,  # type: ignore[arg-type]  # handed on
    )
    return {user.name: user.outcome for user in written}


def test_a_list_is_written_once_and_then_unchanged(path: Path) -> None:
    path.write_text(f"# ours\nold:{SECRET}\nbob:{SECRET}\nbob:x\n")
    text = f"alice:one\nbob:secret\ncarol:{SECRET}\nold:\n"
    assert write(path, text) == {
        "alice": "created", "bob": "configured", "carol": "created", "old": "unchanged",
    }  # fmt: skip
    file = HtpasswdFile.read(path)
    file.verify("alice", "one")
    file.verify("bob", "secret")
    file.verify("carol", "secret")
    assert path.read_text().startswith(f"# ours\nold:{SECRET}\nbob:$2y$04$")
    before = path.stat()
    assert set(write(path, text).values()) == {"unchanged"}
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_exclusive_removes_everybody_else(path: Path) -> None:
    path.write_text(f"gone:x\n#regctl:locked shut:x\nalice:{SECRET}\n")
    wish = Wish(cost=4, exclusive=True)
    assert write(path, "alice:secret\nbob:x\n", wish, dry_run=True) == {
        "alice": "unchanged", "bob": "created", "gone": "deleted", "shut": "deleted",
    }  # fmt: skip
    assert path.read_text().startswith("gone:x\n")
    write(path, "alice:secret\nbob:x\n", wish)
    assert [user.name for user in HtpasswdFile.read(path).users()] == ["alice", "bob"]


def test_only_those_who_were_shown_are_removed(path: Path) -> None:
    """Somebody may be added between the question and the write."""
    path.write_text("shown:x\n")
    entries = userlist.read("alice:secret", source="list")
    removable = userlist.removed(path, entries)
    add_user(path, "late", "secret", cost=4)
    userlist.write(
        path, entries, Wish(cost=4, exclusive=True),
        source="list", removable=removable, how=WriteOptions(),
    )  # fmt: skip
    assert [user.name for user in HtpasswdFile.read(path).users()] == ["late", "alice"]


def test_missing_passwords_are_generated_for_new_users_only(path: Path) -> None:
    path.write_text(f"old:{SECRET}\n")
    entries = userlist.read("old:\nnew:\nown:mine\n", source="list")
    wish = Wish(cost=4, generate_missing=True)
    old, new, own = userlist.write(path, entries, wish, source="list", how=WriteOptions())
    assert (old.outcome, old.password) == ("unchanged", None)
    assert (own.outcome, own.password) == ("created", None)
    assert new.password is not None
    HtpasswdFile.read(path).verify("new", new.password)
    again = userlist.write(path, entries, wish, source="list", how=WriteOptions())
    assert {(user.outcome, user.password) for user in again} == {("unchanged", None)}


def test_bad_passwords_are_all_named_and_nothing_is_written(path: Path) -> None:
    with pytest.raises(InvalidUserListError) as caught:
        write(path, f"a:{'x' * 73}\nb:ok\nc:\nd:a\0b\n")
    assert [problem[:15] for problem in caught.value.problems] == [
        "list, line 1: t", "list, line 3: c", "list, line 4: t",
    ]  # fmt: skip
    assert not path.exists()


def test_a_scheme_is_obeyed(path: Path) -> None:
    write(path, "a:secret\n", Wish(scheme="sha512-crypt", cost=1000))
    assert HtpasswdFile.read(path).users()[0].scheme == ("sha512-crypt", "6", 1000)
    with pytest.raises(InvalidInputError):
        write(path, "a:secret\n", Wish(scheme="sha1", cost=4))


def test_hashing_is_spread_over_threads_and_each_entry_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hashes are under way at once: each waits until the other has begun."""
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    both = threading.Barrier(2, timeout=30)
    real, counted = hashes.make, list[int]()

    def meeting(*args: str | int | None) -> str:
        both.wait()
        return real(*args)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(hashes, "make", meeting)
    write(path, "a:1\nb:2\nc:3\nd:4\n", progress=lambda: counted.append(1))
    assert len(counted) == 4


def test_somebody_elses_change_meanwhile_is_respected(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_user(path, "alice", "one", cost=4)
    real = hashes.is_good_enough

    def meanwhile(*args: str | int | None) -> bool:
        monkeypatch.setattr(hashes, "is_good_enough", real)
        add_user(path, "alice", "two", cost=4)
        add_user(path, "bob", "three", cost=4)
        return real(*args)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(hashes, "is_good_enough", meanwhile)
    assert write(path, "alice:one\n") == {"alice": "configured"}
    file = HtpasswdFile.read(path)
    file.verify("alice", "one")
    file.verify("bob", "three")
