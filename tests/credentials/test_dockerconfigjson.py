"""The content of pull secrets."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.credentials.credential import Credential, encode_auth
from regctl.credentials.dockerconfigjson import (
    DOCKERCFG,
    DOCKERCONFIGJSON,
    decode_secret,
    encode_dockerconfigjson,
    entry_fault,
)
from regctl.errors import InvalidInputError, MalformedError
from regctl.jsontext import parse_go_json
from tests.dockercfg import encode_dockercfg

text = st.text(st.characters(codec="utf-8"), max_size=40)
names = text.filter(lambda name: ":" not in name)


def decoded(content: bytes) -> dict[str, Credential] | None:
    return decode_secret(DOCKERCONFIGJSON, {".dockerconfigjson": content}, source="secret x")


@given(st.dictionaries(st.just("a.io") | st.just("b.io:5000"), st.tuples(names, text)))
def test_encoded_credentials_decode_to_the_same(values: dict[str, tuple[str, str]]) -> None:
    credentials = {key: Credential(user, password) for key, (user, password) in values.items()}
    assert decoded(encode_dockerconfigjson(credentials)) == credentials
    older = {".dockercfg": encode_dockercfg(credentials)}
    assert decode_secret(DOCKERCFG, older, source="x") == credentials


def test_auth_overrides_user_and_password_as_in_the_kubelet() -> None:
    entry = {"username": "old", "password": "old", "auth": encode_auth("new", "a:b")}
    data = json.dumps({"auths": {"a.io": entry}}).encode()
    assert decoded(data) == {"a.io": Credential("new", "a:b")}


@pytest.mark.parametrize(
    "document",
    [
        "{",
        "[]",
        '{"auths": 5}',
        '{"auths": {"a.io": 5}}',
        '{"auths": {"a.io": {"auth": "***"}}}',
        '{"auths": {"a.io": {"auth": "bm9jb2xvbg=="}}}',
        '{"auths": {"a.io": {"username": 5}}}',
        '{"auths": {"a.io": {"auth": "YTpi="}}}',
        '{"auths": {"a.io": 5, "a.io": {}}}',
        '{"auths": {}, "HttpHeaders": []}',
        '{"auths": {}, "httpheaders": {"a": 5}}',
        '{"auths": {}, "x": NaN}',
    ],
)
def test_what_the_kubelet_cannot_decode_is_an_error_that_does_not_quote_it(document: str) -> None:
    with pytest.raises(MalformedError) as caught:
        decoded(document.encode())
    assert "secret x" in caught.value.message
    assert caught.value.__cause__ is None or "bm9jb2xvbg" not in str(caught.value.__cause__)
    assert "bm9jb2xvbg" not in caught.value.message


@pytest.mark.parametrize(
    "document",
    [
        b'{"Auths": {"a.io": {"UserName": "u", "PASSWORD": "p"}}}',
        b'{"auths": {"a.io": {"username": "x", "USERNAME": "u", "password": "p"}}}',
        b'{"auths": {"a.io": {"username": "u", "username": null, "password": "p"}}}',
        b'{"auths": {"a.io": {"username": "u", "password": "p"}}, "auths": {}}',
        b'{"auths": {"b.io": {}}, "auths": null, "auths": {"a.io": {"auth": "dTpw"}}}',
        b'{"auths": {"a.io": {"auth": "dTpw"}}, "HttpHeaders": {"a": null}}',
    ],
)
def test_double_names_and_names_in_any_case_are_read_as_go_reads_them(document: bytes) -> None:
    assert decoded(document) == {"a.io": Credential("u", "p")}


def test_bytes_that_are_not_utf_8_become_replacement_characters() -> None:
    document = b'{"auths": {"a.io": {"username": "\xe2\x82", "password": "\\ud800\\ud83d\\ude00"}}}'
    assert decoded(document) == {"a.io": Credential("\ufffd\ufffd", "\ufffd\U0001f600")}


def test_null_and_empty_documents_hold_nothing() -> None:
    for document in (b"{}", b"null", b'{"auths": null}', b'{"auths": {}}'):
        assert decoded(document) == {}


def test_only_the_two_types_with_their_keys_are_pull_secrets() -> None:
    new = {".dockerconfigjson": encode_dockerconfigjson({"a.io": Credential("u", "p")})}
    old = {".dockercfg": encode_dockercfg({"a.io": Credential("u", "p")})}
    assert decode_secret(DOCKERCONFIGJSON, new, source="x") == {"a.io": Credential("u", "p")}
    assert decode_secret(DOCKERCFG, old, source="x") == {"a.io": Credential("u", "p")}
    assert decode_secret(DOCKERCFG, new, source="x") is None
    assert decode_secret("Opaque", new, source="x") is None
    assert decode_secret(DOCKERCFG, {".dockercfg": b""}, source="x") is None


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("{}", "has no user and no password"),
        ("null", "has no user and no password"),
        ('{"username": "u"}', "has no password"),
        ('{"auth": "OnA="}', "has no user"),
        ('{"IdentityToken": "t"}', "has an identitytoken, which the kubelet ignores"),
        (
            '{"username": "u", "registrytoken": "t"}',
            "has a registrytoken, which the kubelet ignores",
        ),
        ('{"auth": "dTpw", "identitytoken": "t"}', None),
    ],
)
def test_an_entry_that_gives_no_user_and_password_is_named_for_what_it_is(
    entry: str, fault: str | None
) -> None:
    assert entry_fault(parse_go_json(entry, source="x")) == fault


def test_a_token_is_rejected_for_a_pull_secret() -> None:
    with pytest.raises(InvalidInputError, match="token"):
        encode_dockerconfigjson({"a.io": Credential("", "", identity_token="t")})
