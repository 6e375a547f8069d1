"""What an auth Secret contains for each reader, and how it is read back."""

import base64

import pytest

from regctl.authfile.readers import DEFAULT_READER, READERS
from regctl.authsecret.secret import read
from regctl.errors import InvalidInputError, MalformedError, UnsuitableAuthFileError
from tests.authsecret.files import NAME, A, B, desired, file, secret


def test_only_active_users_are_uploaded() -> None:
    content = desired("# x", f"a:{A}:note", f"#regctl:locked b:{A}", "", f"c:{B}").users.content
    assert content == f"a:{A}\nc:{B}\n".encode()


def test_a_manifest_has_the_layout_and_our_label() -> None:
    manifest = desired(f"a:{A}", reader=READERS["contour"]).manifest("ns", NAME)
    assert manifest["metadata"] == {
        "name": NAME,
        "namespace": "ns",
        "labels": {"app.kubernetes.io/managed-by": "regctl"},
        "annotations": {"projectcontour.io/auth-type": "basic"},
    }
    assert base64.b64decode(manifest["data"]["auth"]) == f"a:{A}\n".encode()


@pytest.mark.parametrize("name", [name for name, reader in READERS.items() if name != "caddy"])
def test_what_is_written_for_a_reader_is_read_back(name: str) -> None:
    reader = READERS[name]
    hash_ = "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=" if name == "envoy-gateway" else A
    wanted = desired(f"a:{hash_}", f"b:{hash_}", reader=reader)
    back = read(secret(wanted.data(wanted.layout.key)), reader)
    assert back.content == wanted.users.content


def test_a_reader_without_a_secret_is_invalid_input() -> None:
    with pytest.raises(InvalidInputError, match="caddy reads no Secret"):
        desired(f"a:{A}", reader=READERS["caddy"])


def test_a_file_without_active_users_is_unsuitable() -> None:
    with pytest.raises(UnsuitableAuthFileError, match="no active user: nobody can log in"):
        desired(f"#regctl:locked a:{A}")


def test_the_first_finding_is_reported_and_the_others_are_counted() -> None:
    with pytest.raises(UnsuitableAuthFileError, match=r"for ingress-nginx: .* \(and 1 more\)"):
        desired("no colon", f"a:{A}", f"a:{B}")


def test_another_key_than_the_readers_is_malformed() -> None:
    with pytest.raises(MalformedError, match="reads key auth, and the Secret has only users"):
        read(secret({"users": b"x"}), DEFAULT_READER)
    with pytest.raises(MalformedError, match="the Secret has no keys"):
        read(secret({}), DEFAULT_READER)
    assert read(secret({"users": f"a:{A}\n".encode()}), READERS["traefik"]).user("a") is not None


def test_no_hash_is_in_a_repr() -> None:
    assert "$2y$" not in repr(desired(f"a:{A}"))
    assert "$2y$" not in repr(secret({"auth": file(f"a:{A}").content}))
