"""docker's config.json: which credential is found in it, and how it is written."""

import base64
import json
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.credentials import dockerconfig
from regctl.credentials.credential import Credential, encode_auth
from regctl.credentials.dockerconfig import DockerConfig
from regctl.errors import (
    CredentialHelperError,
    FileAccessError,
    MalformedError,
)
from regctl.reference import Registry

FOO = Registry("registry.foo.com")
LOGIN = ("alice", "correct horse")
ALICE = Credential(*LOGIN)
KNOWN = {"auths", "credHelpers", "credsStore"}


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


# Reading


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
    assert DockerConfig.load({"DOCKER_CONFIG": "/x", "HOME": "/h"}).path == Path("/x/config.json")
    assert DockerConfig.load({"HOME": "/h"}).path == Path("/h/.docker/config.json")
    assert DockerConfig.load({"HOME": str(tmp_path)}).credential_for(FOO) is None
    assert DockerConfig.load({}).credential_for(FOO) is None


def test_the_environment_variable_of_ci_systems_wins(tmp_path: Path) -> None:
    variable = json.dumps({"auths": {"registry.foo.com": {"auth": encode_auth("ci", "token")}}})
    document = {"auths": {"registry.foo.com": {"auth": encode_auth("alice", "secret")}}}
    loaded = config(tmp_path, document, DOCKER_AUTH_CONFIG=variable)
    assert loaded.credential_for(FOO) == Credential("ci", "token")


def test_an_error_names_a_file_that_is_not_docker_s_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"auths": "secret"')
    with pytest.raises(MalformedError, match=r"config\.json, line 1: not JSON"):
        DockerConfig.load({"DOCKER_CONFIG": str(tmp_path)})
    with pytest.raises(MalformedError, match="auths"):
        config(tmp_path, {"auths": []} | {"auths": [1]})
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").mkdir()
    with pytest.raises(FileAccessError, match="it is a directory"):
        DockerConfig.load({"DOCKER_CONFIG": str(tmp_path)})


# podman, skopeo and buildah


def podman(path: Path, *keys: str, **more: object) -> None:
    """Write a file of podman in which the user is named as the key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    auths = {key: {"auth": encode_auth(key, "secret")} for key in keys}
    path.write_text(json.dumps({"auths": auths, **more}))


@pytest.mark.parametrize("variable", ["REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"])
def test_a_login_of_podman_comes_after_docker_s(tmp_path: Path, variable: str) -> None:
    path = tmp_path / "containers" / "auth.json"
    podman(path, "registry.foo.com", "b.io")
    place = str(path if variable == "REGISTRY_AUTH_FILE" else tmp_path)
    document = {"auths": {"b.io": {"auth": encode_auth("docker", "secret")}}}
    loaded = config(tmp_path / "docker", document, **{variable: place})
    assert loaded.credential_for(FOO) == Credential("registry.foo.com", "secret")
    assert loaded.credential_for(Registry("b.io")) == Credential("docker", "secret")
    assert loaded.credential_for(Registry("c.io")) is None


def test_registry_auth_file_alone_is_read_if_it_is_set(tmp_path: Path) -> None:
    podman(tmp_path / "containers" / "auth.json", "registry.foo.com")
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "REGISTRY_AUTH_FILE": str(tmp_path / "none")}
    assert DockerConfig.load(environ).credential_for(FOO) is None


@pytest.mark.parametrize(
    ("repository", "key"),
    [
        ("team/app/web", "registry.foo.com/team/app"),
        ("team/apple", "registry.foo.com/team"),
        ("teams/app", "registry.foo.com"),
        ("", "registry.foo.com"),
    ],
)
def test_the_login_for_the_smallest_part_of_a_registry_wins(
    tmp_path: Path, repository: str, key: str
) -> None:
    path = tmp_path / "auth.json"
    keys = ("registry.foo.com", "registry.foo.com/team", "registry.foo.com/team/app")
    podman(path, *keys)
    loaded = DockerConfig.load({"REGISTRY_AUTH_FILE": str(path)})
    assert loaded.credential_for(FOO, repository) == Credential(key, "secret")


def test_a_login_for_one_part_is_not_used_for_another(tmp_path: Path) -> None:
    podman(tmp_path / "auth.json", "registry.foo.com/team")
    loaded = DockerConfig.load({"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")})
    assert loaded.credential_for(FOO) is None
    assert loaded.credential_for(FOO, "other/app") is None


def test_a_helper_that_podman_s_file_names_is_asked(tmp_path: Path) -> None:
    environ = helper(tmp_path, "x", 'echo \'{"Username":"u","Secret":"p"}\'')
    path = tmp_path / "auth.json"
    podman(path, credHelpers={"registry.foo.com": "x"}, credsStore="missing")
    loaded = DockerConfig.load({"REGISTRY_AUTH_FILE": str(path), **environ})
    assert loaded.credential_for(FOO) == Credential("u", "p")
    assert loaded.credential_for(Registry("b.io")) is None


def test_an_error_names_podman_s_file(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    path.write_text("{")
    with pytest.raises(MalformedError, match=r"auth\.json, line 1: not JSON"):
        DockerConfig.load({"REGISTRY_AUTH_FILE": str(path)}).credential_for(FOO)


# Helpers


def test_a_helper_gets_the_host_on_its_standard_input(tmp_path: Path) -> None:
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
        ("echo s3cr3t; exit 2", "exit code 2"),
        ("echo s3cr3t >&2; exit 2", "exit code 2"),
        ("exit 3", "exit code 3"),
        ("echo s3cr3t", "not a credential"),
        ("echo '[]'", "not a credential"),
    ],
)
def test_an_error_names_the_helper_that_failed_and_shows_nothing_that_it_printed(
    tmp_path: Path, script: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    environ = helper(tmp_path, "x", script)
    with pytest.raises(CredentialHelperError) as caught:
        config(tmp_path, {"credsStore": "x"}, **environ).credential_for(FOO)
    assert "docker-credential-x" in caught.value.message
    assert said in caught.value.message
    assert "s3cr3t" not in str(caught.value)
    assert "s3cr3t" not in str(caught.value.__cause__)
    assert "".join(capfd.readouterr()) == ""
    if "exit" in script:
        assert caught.value.hint == "`docker-credential-x list` says what is wrong"


@pytest.mark.parametrize("name", ["../x", "/bin/x", "x/../../sh", "x\n", "x\x1b[2J"])
def test_a_helper_s_name_is_not_a_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "docker-credential-..").mkdir()
    environ = helper(tmp_path, "x", f"touch {tmp_path}/was-run")
    for document in ({"credsStore": name}, {"credHelpers": {"registry.foo.com": name}}):
        with pytest.raises(CredentialHelperError, match="is not the name of a credential helper"):
            config(tmp_path, document, **environ).credential_for(FOO)
    assert not (tmp_path / "was-run").exists()


def test_a_helper_s_endless_answer_is_cut(tmp_path: Path) -> None:
    environ = helper(tmp_path, "x", "exec yes s3cr3t")
    with pytest.raises(CredentialHelperError, match="its answer has more than 65536 bytes"):
        config(tmp_path, {"credsStore": "x"}, **environ).credential_for(FOO)


def test_a_helper_that_does_not_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dockerconfig, "_HELPER_SECONDS", 0.0)
    environ = helper(tmp_path, "x", "exec tail -f /dev/null")
    with pytest.raises(CredentialHelperError, match="no answer within 0 s"):
        config(tmp_path, {"credsStore": "x"}, **environ).credential_for(FOO)


def test_an_error_names_the_helper_that_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(CredentialHelperError, match="docker-credential-gone: no such program"):
        config(tmp_path, {"credsStore": "gone"}, PATH=str(tmp_path)).credential_for(FOO)


# Writing


def test_a_new_file_has_docker_s_format_and_mode_0600(tmp_path: Path) -> None:
    folder = tmp_path / "new" / ".docker"
    kept = DockerConfig.load({"DOCKER_CONFIG": str(folder)}).store(FOO, ALICE)
    assert kept == (None, True)
    path = folder / "config.json"
    auth = encode_auth("alice", "correct horse")
    assert path.read_text() == (
        '{\n\t"auths": {\n\t\t"registry.foo.com": {\n\t\t\t"auth": "' + auth + '"\n\t\t}\n\t}\n}'
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"auths": {}, "auths": {"x": {"auth": "YTpi"}}}', "a key is there twice"),
        ('{"auths": {}, "Auths": {"x": {"auth": "YTpi"}}}', "a key is there twice"),
        ('{"plugins": {"a": {"b": "1", "b": "2"}}}', "a key is there twice"),
        ('{"detachKeys": NaN}', "a number is not finite"),
        ('{"x": [-Infinity]}', "a number is not finite"),
        ('{"x": 1e999}', "a number is not finite"),
        ("[]", "not a JSON object"),
    ],
)
def test_a_config_that_cannot_be_written_without_a_loss_is_left_as_it_is(
    tmp_path: Path, text: str, problem: str
) -> None:
    loaded = config(tmp_path, {})
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(MalformedError, match=problem):
        loaded.store(FOO, ALICE)
    with pytest.raises(MalformedError, match=problem):
        loaded.erase(FOO)
    assert (tmp_path / "config.json").read_text() == text


def test_no_helper_is_run_for_a_config_that_cannot_be_written(tmp_path: Path) -> None:
    environ = helper(tmp_path, "x", f"touch {tmp_path}/was-run")
    (tmp_path / "config.json").write_text('{"credsStore": "x", "a": 1, "a": 2}')
    loaded = DockerConfig.load({"DOCKER_CONFIG": str(tmp_path), **environ})
    with pytest.raises(MalformedError, match="a key is there twice"):
        loaded.store(FOO, ALICE)
    with pytest.raises(MalformedError, match="a key is there twice"):
        loaded.erase(FOO)
    assert not (tmp_path / "was-run").exists()


def test_a_config_with_another_spelling_of_auths_has_one_afterwards(tmp_path: Path) -> None:
    entry = {"auth": encode_auth("bob", "x")}
    config(tmp_path, {"AUTHS": {"other": entry}}).store(FOO, ALICE)
    written = json.loads((tmp_path / "config.json").read_text())
    assert list(written) == ["auths"]
    assert set(written["auths"]) == {"other", "registry.foo.com"}


def test_docker_hub_is_stored_under_its_old_url(tmp_path: Path) -> None:
    config(tmp_path, {}).store(Registry.parse("docker.io"), ALICE)
    written = json.loads((tmp_path / "config.json").read_text())
    assert list(written["auths"]) == ["https://index.docker.io/v1/"]


entries = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8).filter(lambda k: k not in KNOWN), entries))
def test_the_rest_of_the_file_stays(others: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        other = {"auths": {"other.io": {"auth": encode_auth("o", "p"), "email": "x"}}}
        loaded = config(Path(folder), {**others, **other})
        loaded.store(FOO, ALICE)
        path = Path(folder, "config.json")
        written = json.loads(path.read_text())
        assert list(written) == [*others, "auths"]
        assert written["auths"].pop("registry.foo.com") == {"auth": encode_auth(*LOGIN)}
        assert written == {**others, **other}
        assert loaded.erase(FOO) == (None, True)
        assert json.loads(path.read_text()) == {**others, **other}


def test_a_symlink_and_the_mode_stay(tmp_path: Path) -> None:
    real = tmp_path / "real.json"
    real.write_text("{}")
    real.chmod(0o640)
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "config.json").symlink_to(real)
    DockerConfig.load({"DOCKER_CONFIG": str(folder)}).store(FOO, ALICE)
    assert (folder / "config.json").is_symlink()
    assert "registry.foo.com" in real.read_text()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_the_same_login_again_writes_nothing(tmp_path: Path) -> None:
    loaded = config(tmp_path, {})
    assert loaded.store(FOO, ALICE).changed
    before = (tmp_path / "config.json").stat()
    assert not loaded.store(FOO, ALICE).changed
    assert (tmp_path / "config.json").stat().st_mtime_ns == before.st_mtime_ns


def test_a_broken_file_is_not_changed_and_the_error_names_its_line(tmp_path: Path) -> None:
    loaded = config(tmp_path, {})
    broken = '{\n"auths": {},,\n}'
    (tmp_path / "config.json").write_text(broken)
    with pytest.raises(MalformedError, match="line 2"):
        loaded.store(FOO, ALICE)
    assert (tmp_path / "config.json").read_text() == broken


def test_logout_removes_older_keys_too_and_no_other_registry(tmp_path: Path) -> None:
    auth = {"auth": encode_auth("a", "b")}
    keys = ["registry.foo.com", "https://registry.foo.com/v1/", "http://registry.foo.com"]
    others = ["registry.foo.com:5000", "registry.foo.com/team", "foo.com"]
    loaded = config(tmp_path, {"auths": dict.fromkeys([*keys, *others], auth)})
    assert loaded.erase(FOO).changed
    assert set(json.loads((tmp_path / "config.json").read_text())["auths"]) == set(others)
    assert not loaded.erase(FOO).changed


KEEPER = """
case $1 in
    store) cat > "$KEPT" ;;
    get)
        read -r host
        test -s "$KEPT" || { echo "credentials not found in native keychain"; exit 1; }
        cat "$KEPT" ;;
    erase) read -r host; test "$host" = registry.foo.com && rm "$KEPT" ;;
esac
"""


@pytest.mark.parametrize(
    "document", [{"credsStore": "mine"}, {"credHelpers": {"registry.foo.com": "mine"}}]
)
def test_a_helper_stores_the_password_and_the_file_only_a_mark(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    kept = tmp_path / "kept"
    loaded = config(tmp_path, document, **helper(tmp_path, "mine", KEEPER), KEPT=str(kept))
    assert loaded.store(FOO, ALICE).helper == "mine"
    assert json.loads(kept.read_text()) == {
        "ServerURL": "registry.foo.com",
        "Username": "alice",
        "Secret": "correct horse",
    }
    written = json.loads((tmp_path / "config.json").read_text())
    assert written == {**document, "auths": {"registry.foo.com": {}}}
    assert loaded.credential_for(FOO) == ALICE
    assert loaded.erase(FOO) == ("mine", True)
    assert not kept.exists()
    assert json.loads((tmp_path / "config.json").read_text()) == {**document, "auths": {}}
    assert loaded.erase(FOO) == ("mine", False)


def test_a_failing_helper_leaves_the_file_unchanged(tmp_path: Path) -> None:
    environ = helper(tmp_path, "mine", "echo locked keychain; exit 1")
    loaded = config(tmp_path, {"credsStore": "mine"}, **environ)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(CredentialHelperError, match="exit code 1"):
        loaded.store(FOO, ALICE)
    assert (tmp_path / "config.json").read_bytes() == before
