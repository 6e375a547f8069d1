"""docker's config.json, credential helpers, and the content of pull secrets."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.credentials import (
    DOCKERCFG,
    DOCKERCONFIGJSON,
    Credential,
    DockerConfig,
    check_username,
    decode_auth,
    decode_dockercfg,
    decode_dockerconfigjson,
    decode_secret,
    encode_auth,
    encode_dockercfg,
    encode_dockerconfigjson,
)
from regctl.errors import (
    CredentialHelperError,
    FileAccessError,
    InvalidInputError,
    InvalidUserError,
    MalformedError,
)
from regctl.reference import Registry

FOO = Registry("registry.foo.com")
text = st.text(st.characters(codec="utf-8"), max_size=40)
names = text.filter(lambda name: ":" not in name)


def config(folder: Path, document: Any, **environ: str) -> DockerConfig:
    """Write config.json and load it."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(document))
    return DockerConfig.load({"DOCKER_CONFIG": str(folder), **environ})


def helper(folder: Path, name: str, script: str) -> dict[str, str]:
    """Install a credential helper; return the environment that finds it."""
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


# The content of a pull secret


@given(st.dictionaries(st.just("a.io") | st.just("b.io:5000"), st.tuples(names, text)))
def test_what_is_encoded_decodes_to_the_same(values: dict[str, tuple[str, str]]) -> None:
    credentials = {key: Credential(user, password) for key, (user, password) in values.items()}
    assert decode_dockerconfigjson(encode_dockerconfigjson(credentials), source="x") == credentials
    assert decode_dockercfg(encode_dockercfg(credentials), source="x") == credentials


@given(names, text)
def test_auth_reads_padded_unpadded_and_broken_over_lines(user: str, password: str) -> None:
    auth = encode_auth(user, password)
    folded = "\r\n".join(auth[at : at + 10] for at in range(0, len(auth), 10))
    for form in (auth, auth.rstrip("="), folded):
        assert decode_auth(form, source="x") == (user, password)


def test_auth_overrides_user_and_password_as_the_kubelet_has_it() -> None:
    entry = {"username": "old", "password": "old", "auth": encode_auth("new", "a:b")}
    data = json.dumps({"auths": {"a.io": entry}}).encode()
    assert decode_dockerconfigjson(data, source="x") == {"a.io": Credential("new", "a:b")}


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
    ],
)
def test_what_the_kubelet_cannot_decode_is_malformed_and_never_shown(document: str) -> None:
    with pytest.raises(MalformedError) as caught:
        decode_dockerconfigjson(document.encode(), source="secret x")
    assert "secret x" in caught.value.message
    assert caught.value.__cause__ is None or "bm9jb2xvbg" not in str(caught.value.__cause__)
    assert "bm9jb2xvbg" not in caught.value.message


def test_null_and_empty_documents_hold_nothing() -> None:
    for document in (b"{}", b"null", b'{"auths": null}', b'{"auths": {}}'):
        assert decode_dockerconfigjson(document, source="x") == {}


def test_only_the_two_types_with_their_keys_are_pull_secrets() -> None:
    new = {".dockerconfigjson": encode_dockerconfigjson({"a.io": Credential("u", "p")})}
    old = {".dockercfg": encode_dockercfg({"a.io": Credential("u", "p")})}
    assert decode_secret(DOCKERCONFIGJSON, new, source="x") == {"a.io": Credential("u", "p")}
    assert decode_secret(DOCKERCFG, old, source="x") == {"a.io": Credential("u", "p")}
    assert decode_secret(DOCKERCFG, new, source="x") is None
    assert decode_secret("Opaque", new, source="x") is None


def test_a_token_is_refused_for_a_pull_secret() -> None:
    with pytest.raises(InvalidInputError, match="token"):
        encode_dockerconfigjson({"a.io": Credential("", "", identity_token="t")})


def test_no_secret_is_in_a_repr_of_a_credential() -> None:
    credential = Credential("u", "hunter2", identity_token="idtoken", registry_token="regtoken")
    for secret in credential.secrets:
        assert secret not in repr(credential)


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", "a\x7fb"])
def test_a_name_that_basic_authentication_cannot_carry_is_refused(name: str) -> None:
    with pytest.raises(InvalidUserError):
        check_username(name)


# docker's config.json


@pytest.mark.parametrize(
    "key",
    [
        "registry.foo.com",
        "https://registry.foo.com",
        "https://registry.foo.com/v1/",
        "http://registry.foo.com/v2/",
        "registry.foo.com/v2/",
    ],
)
def test_a_credential_is_found_under_every_key_that_docker_wrote(tmp_path: Path, key: str) -> None:
    document = {"auths": {key: {"auth": encode_auth("alice", "secret")}}}
    assert config(tmp_path, document).credential_for(FOO) == Credential("alice", "secret")


def test_its_own_key_wins_over_an_older_one_with_a_url(tmp_path: Path) -> None:
    document = {
        "auths": {
            "https://registry.foo.com/v1/": {"auth": encode_auth("old", "old")},
            "registry.foo.com": {"auth": encode_auth("new", "new")},
        }
    }
    assert config(tmp_path, document).credential_for(FOO) == Credential("new", "new")


def test_another_port_is_another_registry(tmp_path: Path) -> None:
    document = {"auths": {"registry.foo.com:5000": {"auth": encode_auth("a", "b")}}}
    assert config(tmp_path, document).credential_for(FOO) is None


def test_docker_hub_is_known_by_its_own_key(tmp_path: Path) -> None:
    document = {"auths": {"https://index.docker.io/v1/": {"auth": encode_auth("a", "b")}}}
    hub = Registry.parse("docker.io")
    assert config(tmp_path, document).credential_for(hub) == Credential("a", "b")


def test_user_and_password_fields_nuls_and_tokens_are_read(tmp_path: Path) -> None:
    document = {
        "auths": {
            "a.io": {"username": "a", "password": "p", "email": "a@b.c"},
            "b.io": {"auth": base64.b64encode(b"b:p\0\0").decode()},
            "c.io": {"auth": encode_auth("c", ""), "identitytoken": "token"},
            "d.io": {},
        }
    }
    loaded = config(tmp_path, document)
    assert loaded.credential_for(Registry("a.io")) == Credential("a", "p", "a@b.c")
    assert loaded.credential_for(Registry("b.io")) == Credential("b", "p")
    assert loaded.credential_for(Registry("c.io")) == Credential("", "", identity_token="token")
    assert loaded.credential_for(Registry("d.io")) is None


def test_the_file_is_in_docker_config_or_in_the_home_folder(tmp_path: Path) -> None:
    assert DockerConfig.locate({"DOCKER_CONFIG": "/x", "HOME": "/h"}) == Path("/x/config.json")
    assert DockerConfig.locate({"HOME": "/h"}) == Path("/h/.docker/config.json")
    assert DockerConfig.load({"HOME": str(tmp_path)}).credential_for(FOO) is None
    assert DockerConfig.load({}).credential_for(FOO) is None


def test_the_environment_variable_of_ci_systems_wins(tmp_path: Path) -> None:
    variable = json.dumps({"auths": {"registry.foo.com": {"auth": encode_auth("ci", "token")}}})
    document = {"auths": {"registry.foo.com": {"auth": encode_auth("alice", "secret")}}}
    loaded = config(tmp_path, document, DOCKER_AUTH_CONFIG=variable)
    assert loaded.credential_for(FOO) == Credential("ci", "token")


def test_a_config_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"auths": "secret"')
    with pytest.raises(MalformedError, match=r"config\.json: not JSON"):
        DockerConfig.load({"DOCKER_CONFIG": str(tmp_path)})
    with pytest.raises(MalformedError, match="auths"):
        config(tmp_path, {"auths": []} | {"auths": [1]})
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").mkdir()
    with pytest.raises(FileAccessError, match="Is a directory"):
        DockerConfig.load({"DOCKER_CONFIG": str(tmp_path)})


# Helpers


def test_a_helper_is_given_the_host_on_its_standard_input(tmp_path: Path) -> None:
    environ = helper(
        tmp_path,
        "mine",
        'test "$1" = get || exit 9\nread host\n'
        'printf \'{"ServerURL":"%s","Username":"u","Secret":"of %s"}\' "$host" "$host"',
    )
    loaded = config(tmp_path, {"credsStore": "mine"}, **environ)
    assert loaded.credential_for(FOO) == Credential("u", "of registry.foo.com")
    hub = loaded.credential_for(Registry.parse("docker.io"))
    assert hub == Credential("u", "of https://index.docker.io/v1/")


def test_the_helper_of_a_registry_wins_over_the_common_one(tmp_path: Path) -> None:
    environ = helper(tmp_path, "one", 'echo \'{"Username":"one","Secret":"p"}\'')
    helper(tmp_path, "all", 'echo \'{"Username":"all","Secret":"p"}\'')
    document = {"credsStore": "all", "credHelpers": {"registry.foo.com": "one"}}
    loaded = config(tmp_path, document, **environ)
    assert loaded.credential_for(FOO) == Credential("one", "p")
    assert loaded.credential_for(Registry("b.io")) == Credential("all", "p")


def test_a_helper_without_the_credential_is_no_error(tmp_path: Path) -> None:
    environ = helper(tmp_path, "x", "echo credentials not found in native keychain; exit 1")
    assert config(tmp_path, {"credsStore": "x"}, **environ).credential_for(FOO) is None


def test_a_helpers_token_is_an_identity_token(tmp_path: Path) -> None:
    environ = helper(tmp_path, "x", 'echo \'{"Username":"<token>","Secret":"t"}\'')
    loaded = config(tmp_path, {"credsStore": "x"}, **environ)
    assert loaded.credential_for(FOO) == Credential("", "", identity_token="t")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo the keychain is locked; exit 2", "the keychain is locked"),
        ("echo is broken >&2; exit 2", "is broken"),
        ("exit 3", "exit code 3"),
        ("echo s3cr3t", "not a credential"),
        ("echo '[]'", "not a credential"),
    ],
)
def test_a_helper_that_fails_is_named_with_its_reason(
    tmp_path: Path, script: str, said: str
) -> None:
    environ = helper(tmp_path, "x", script)
    with pytest.raises(CredentialHelperError) as caught:
        config(tmp_path, {"credsStore": "x"}, **environ).credential_for(FOO)
    assert "docker-credential-x" in caught.value.message
    assert said in caught.value.message
    assert "s3cr3t" not in str(caught.value)
    assert "s3cr3t" not in str(caught.value.__cause__)


def test_a_helper_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialHelperError, match="docker-credential-gone: no such program"):
        config(tmp_path, {"credsStore": "gone"}, PATH=str(tmp_path)).credential_for(FOO)
