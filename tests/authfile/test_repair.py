"""Repairs of an auth file: what they change, that nothing else changes, and that readers agree."""

import tempfile
from datetime import date
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from regctl.authfile import hashes
from regctl.authfile.audit import check
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.readers import READERS, AuthFileReader
from regctl.authfile.repair import repair
from tests.conftest import Servers
from tests.servers.docker_registry import docker_registry
from tests.servers.nginx import nginx
from tests.servers.readers import apache, status

A = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"  # of "secret"
B = "$2y$04$abcdefghijklmnopqrstuuXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"
TODAY = date(2026, 6, 1)


def repaired(before: str, reader: str | None = None) -> str:
    chosen = READERS[reader] if reader else None
    return repair(before.encode(), chosen, today=TODAY).after.decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"\ufeffa:{A}\n", f"a:{A}\n"),
        (f"a:{A}\n \ufeffb:{B}\n", f"a:{A}\nb:{B}\n"),
        (f"a:{A}\r\n# x\r\n\r\n", f"a:{A}\n# x\n\n"),
        (f"a:{A} \t\n", f"a:{A}\n"),
        (f" \ta:{A}\n", f"a:{A}\n"),
        (f"\xa0\u2003a:{A}\x85\r\n", f"a:{A}\n"),
        (f"\u3000a:{A}\na:{A}\n", f"a:{A}\n"),
        (f"a:{A}:note, more:x\n", f"# a: note, more:x\na:{A}\n"),
        (f":{A}\n", f"# :{A}\n"),
        ("no colon\n", "# no colon\n"),
        (f"a:{A}", f"a:{A}\n"),
        (f"a:{A}\nb:{B}\na:{A}\n", f"a:{A}\nb:{B}\n"),
        (f"a:{A.replace('2y', '2b')}\n", f"a:{A}\n"),
        (
            f"#regctl:expires a:2026-01-01\na:{A}\n",
            f"#regctl:expires a:2026-01-01\n#regctl:locked a:{A}\n",
        ),
    ],
)
def test_what_needs_no_password_is_repaired(before: str, after: str) -> None:
    assert repaired(before) == after
    assert repaired(after) == after


@pytest.mark.parametrize(
    ("reader", "kept"), [("nginx", A), ("distribution", B), ("traefik", B), (None, None)]
)
def test_of_different_lines_the_one_that_the_reader_uses_is_kept(
    reader: str | None, kept: str
) -> None:
    before = f"a:{A}\nb:{A}\na:{B}\n"
    after = repaired(before, reader)
    assert HtpasswdFile(after.encode()).hashes("a") == ((kept,) if kept else (A, B))
    assert f"b:{A}\n" in after


def test_a_reader_that_uses_neither_of_two_lines_keeps_both() -> None:
    before = f"a:{A}\na:{B}\n"
    assert repaired(before, "caddy") == repaired(before, "envoy-gateway") == before


def test_a_clear_password_is_hashed() -> None:
    after = HtpasswdFile(repaired("a:{PLAIN}hunter2\n").encode())
    (hash_,) = after.hashes("a")
    assert hashes.identify(hash_)[:3] == ("bcrypt", "2y", hashes.DEFAULT_COST)
    after.verify("a", "hunter2")


def test_a_clear_password_that_is_too_long_for_bcrypt_is_kept() -> None:
    before = f"a:{{PLAIN}}{'x' * 73}\n"
    assert repaired(before) == before


def test_a_file_in_utf_16_is_not_changed() -> None:
    content = f"a:{A}\n".encode("utf-16")
    assert repair(content).after == content
    assert repair(content).repairs == ()


def test_a_repair_has_the_line_and_the_user_and_no_hash() -> None:
    done = repair(f"# x\na:{A} \nb:{{PLAIN}}hunter2".encode())
    assert [(one.line, one.user, one.what) for one in done.repairs] == [
        (2, "a", "removed blanks at the ends"),
        (3, "b", "hashed the clear password"),
        (3, "", "added the final line feed"),
    ]
    assert "hunter2" not in repr(done)
    assert A not in repr(done)


# Any file

pieces = st.lists(
    st.sampled_from(
        [
            *("a", "b", ":", A, B, A.replace("2y", "2b"), "note", "x", "é", "#"),
            *(" ", "\t", "\v", "\r", "\0", "\x85", "\ufeff"),
            *("#regctl:locked ", "#regctl:expires ", "2020-01-01"),
        ]
    ),
    max_size=6,
).map("".join)
contents = st.one_of(
    st.lists(pieces, max_size=8).map("\n".join).map(str.encode),
    st.binary(max_size=80),
)
readers = st.sampled_from([None, *READERS.values()])
REPAIRED = {
    "bom",
    "crlf",
    "trailing-blank",
    "leading-blank",
    "third-field",
    "empty-user",
    "no-colon",
    "no-final-newline",
    "bcrypt-2b",
    "expired",
}


def logins(content: bytes) -> set[tuple[str, str]]:
    """Return which name is accepted with which hash."""
    return {
        (line.name.lstrip("\ufeff \t\v\r"), line.value.replace("$2b$", "$2y$"))
        for line in HtpasswdFile(content).lines()
        if line.kind == "user"
    }


@example(b"\xef\xbb\xbf:\n", None)
@example(b" \xef\xbb\xbf:\n", None)
@example(b"a:x\n\xef\xbb\xbfb:y\na:z\n", READERS["traefik"])
@given(contents, readers)
def test_a_second_repair_changes_nothing(content: bytes, reader: AuthFileReader | None) -> None:
    done = repair(content, reader, today=TODAY)
    assert bool(done.repairs) == (done.after != content)
    again = repair(done.after, reader, today=TODAY)
    assert (again.after, again.repairs) == (done.after, ())
    if not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        left = {finding.rule for finding in check(HtpasswdFile(done.after), reader, today=TODAY)}
        assert not left & REPAIRED


@given(contents, readers)
def test_a_repair_gives_no_other_user_access(content: bytes, reader: AuthFileReader | None) -> None:
    assert logins(repair(content, reader, today=TODAY).after) <= logins(content)


# The programs


def test_the_programs_accept_the_users_of_the_repaired_file(serve: Servers) -> None:
    """Before, each rejects a user, accepts a login without a name, or keeps the old file."""
    before = "\n".join(
        [
            f"\ufefffirst:{A}",
            "no colon",
            f"blanks:{A} \t",
            f" indented:{A}",
            f"\xa0wide:{A}\u2003",
            f"noted:{A}:a note",
            f":{A}",
            f"dos:{A}\r",
            f"twice:{B}",
            f"twice:{A}",
            f"tag:{A.replace('2y', '2b')}",
            "clear:{PLAIN}secret",
            f"#{'x' * 100}",
            f"last:{A}",
        ]
    )
    users = ["first", "blanks", "indented", "wide", "noted", "dos", "twice", "tag", "clear", "last"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        file = folder / "auth"
        done = repair(before.encode(), READERS["distribution"])
        file.write_bytes(done.after)
        file.chmod(0o644)
        urls = [
            f"{serve(docker_registry(folder / 'registry', auth_file=file)).url}/v2/",
            f"{serve(nginx(folder / 'nginx', auth_file=file)).url}/",
            serve(apache(folder / "httpd", file)),
        ]
        for url in urls:
            assert [status(url, user, "secret") for user in users] == [200] * len(users)
            assert status(url, "", "secret") == 401
