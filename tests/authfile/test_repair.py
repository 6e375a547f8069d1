"""Mending an auth file: what is mended, that nothing else is touched, and that readers agree."""

import tempfile
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.authfile import hashes
from regctl.authfile.audit import check
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.readers import READERS, AuthFileReader
from regctl.authfile.repair import repair
from tests.conftest import Servers
from tests.servers.consumers import apache, status
from tests.servers.docker_registry import docker_registry
from tests.servers.nginx import nginx

A = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"  # of "secret"
B = "$2y$04$abcdefghijklmnopqrstuuXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"
TODAY = date(2026, 6, 1)


def mended(before: str, consumer: str | None = None) -> str:
    reader = READERS[consumer] if consumer else None
    return repair(before.encode(), reader, today=TODAY).after.decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"\ufeffa:{A}\n", f"a:{A}\n"),
        (f"a:{A}\r\n# x\r\n\r\n", f"a:{A}\n# x\n\n"),
        (f"a:{A} \t\n", f"a:{A}\n"),
        (f" \ta:{A}\n", f"a:{A}\n"),
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
def test_what_needs_no_password_is_mended(before: str, after: str) -> None:
    assert mended(before) == after
    assert mended(after) == after


@pytest.mark.parametrize(
    ("consumer", "kept"), [("nginx", A), ("distribution", B), ("traefik", B), (None, None)]
)
def test_of_different_lines_the_one_stays_that_counts(consumer: str | None, kept: str) -> None:
    before = f"a:{A}\nb:{A}\na:{B}\n"
    after = mended(before, consumer)
    assert HtpasswdFile(after.encode()).secrets("a") == ((kept,) if kept else (A, B))
    assert f"b:{A}\n" in after


def test_who_takes_neither_of_two_lines_gets_no_choice_made() -> None:
    before = f"a:{A}\na:{B}\n"
    assert mended(before, "caddy") == mended(before, "envoy-gateway") == before


def test_a_clear_password_is_hashed() -> None:
    after = HtpasswdFile(mended("a:{PLAIN}hunter2\n").encode())
    (secret,) = after.secrets("a")
    assert hashes.identify(secret)[:3] == ("bcrypt", "2y", hashes.DEFAULT_COST)
    after.verify("a", "hunter2")


def test_a_clear_password_that_bcrypt_would_cut_stays() -> None:
    before = f"a:{{PLAIN}}{'x' * 73}\n"
    assert mended(before) == before


def test_a_file_in_utf_16_is_not_touched() -> None:
    content = f"a:{A}\n".encode("utf-16")
    assert repair(content).after == content
    assert repair(content).mends == ()


def test_a_mend_names_line_and_user_and_no_hash() -> None:
    done = repair(f"# x\na:{A} \nb:{{PLAIN}}hunter2".encode())
    assert [(mend.line, mend.user, mend.what) for mend in done.mends] == [
        (2, "a", "blanks around it removed"),
        (3, "b", "clear password hashed"),
        (3, "", "line feed added at the end"),
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
MENDED = {
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


def doors(content: bytes) -> set[tuple[str, str]]:
    """Who gets in by what."""
    return {
        (line.name.lstrip("\ufeff \t\v\r"), line.value.replace("$2b$", "$2y$"))
        for line in HtpasswdFile(content).lines()
        if line.kind == "user"
    }


@given(contents, readers)
def test_any_file_is_mended_once_and_for_all(content: bytes, reader: AuthFileReader | None) -> None:
    done = repair(content, reader, today=TODAY)
    assert bool(done.mends) == (done.after != content)
    again = repair(done.after, reader, today=TODAY)
    assert (again.after, again.mends) == (done.after, ())
    if not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        left = {finding.rule for finding in check(HtpasswdFile(done.after), reader, today=TODAY)}
        assert not left & MENDED


@given(contents, readers)
def test_nobody_is_let_in_by_a_mend(content: bytes, reader: AuthFileReader | None) -> None:
    assert doors(repair(content, reader, today=TODAY).after) <= doors(content)


# The programs


def test_the_programs_let_in_whom_the_mended_file_names(serve: Servers) -> None:
    """Before, each of them keeps somebody out, lets in nobody's name, or reads an old list."""
    before = "\n".join(
        [
            f"\ufefffirst:{A}",
            "no colon",
            f"blanks:{A} \t",
            f" indented:{A}",
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
    users = ["first", "blanks", "indented", "noted", "dos", "twice", "tag", "clear", "last"]
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
