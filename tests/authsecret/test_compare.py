"""Comparing and merging the users of two auth files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.readers import DEFAULT_READER, READERS
from regctl.authsecret.compare import UserChange, compare, merge, summary
from tests.authsecret.files import A, B, file


def test_active_users_are_compared_by_their_hashes() -> None:
    old = file("# x", f"a:{A}", f"b:{A}", f"c:{A}:note \r", f"d:{A}")
    new = file(f"c:{A}", f"a:{B}", f"#regctl:locked d:{A}", f"e:{A}")
    assert compare(old, new) == (
        UserChange("a", "changed"),
        UserChange("b", "removed"),
        UserChange("d", "removed"),
        UserChange("e", "added"),
    )


def test_a_summary_groups_names_by_change() -> None:
    changes = compare(file(f"a:{A}", f"b:{A}"), file(f"a:{B}", f"c:{A}", f"d:{A}"))
    assert summary(changes) == "changed a, removed b, added c, d"
    assert summary(()) == ""


@pytest.mark.parametrize(("reader", "hash_"), [("ingress-nginx", A), ("traefik", B)])
def test_merge_takes_the_line_that_counts_for_the_reader(reader: str, hash_: str) -> None:
    remote = file(f"a:{A}", f"a:{B}")
    assert merge(b"b:x\n", remote, READERS[reader]) == f"a:{hash_}\n".encode()


def test_merge_unlocks_a_user_who_is_active_in_the_secret() -> None:
    local = f"#regctl:locked a:{A}\n".encode()
    assert merge(local, file(f"a:{A}"), DEFAULT_READER) == f"a:{A}\n".encode()


def test_merge_without_a_local_file_returns_the_remote_one() -> None:
    assert merge(None, file("# x", f"a:{A}"), DEFAULT_READER) == f"# x\na:{A}\n".encode()


rows = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from([A, B]), st.sampled_from(["", "#locked"])),
    unique_by=lambda row: row[0],
)


@given(rows, rows)
def test_after_a_merge_there_is_no_difference(
    here: list[tuple[str, str, str]], there: list[tuple[str, str, str]]
) -> None:
    local = file(
        "# kept",
        *(f"{'#regctl:locked ' if state else ''}{name}:{hash_}" for name, hash_, state in here),
    )
    remote = file(*(f"{name}:{hash_}" for name, hash_, _ in there))
    content = merge(local.content, remote, DEFAULT_READER)
    assert compare(HtpasswdFile(content), remote) == ()
    assert content.startswith(b"# kept\n")
    locked = {user.name for user in local.users() if user.locked}
    kept = {user.name for user in HtpasswdFile(content).users() if user.locked}
    assert kept == locked - {name for name, _, _ in there}
