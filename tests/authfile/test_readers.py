"""
The table of readers, compared with the programs themselves.

A cell that differs from what distribution, nginx, httpd, HAProxy or Caddy do fails here.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

import pytest

from regctl import atomicfile
from regctl.authfile.hashes import SCHEMES
from regctl.authfile.readers import (
    DEFAULT_READER,
    LONG_LINE,
    READERS,
    Effect,
    by_effect,
    get_reader,
)
from regctl.errors import InvalidInputError
from tests.conftest import Servers
from tests.servers.docker_registry import docker_registry
from tests.servers.nginx import nginx
from tests.servers.process import StartError
from tests.servers.readers import apache, caddy, haproxy, status

PASSWORD = "secret"
BCRYPT = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
OTHER = "$2y$04$abcdefghijklmnopqrstuu0HtfOlPbTiymk5tcV.3TsFPDd3SYZqu"  # of "other"

# "secret", hashed by openssl, by perl's crypt with libxcrypt, and by hand.
HASHES = {
    "bcrypt": BCRYPT,
    "apr1": "$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0",
    "md5-crypt": "$1$saltsalt$9xy1btjgzLYfb7hivXtC//",
    "sha1": "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
    "ssha": "{SSHA}1G904nLkTkGWjKNnQuB/hpWXC/hzYWx0c2FsdA==",
    "sha256-crypt": "$5$rounds=1000$saltsalt$eKLZU9t9OoPWrqOQsoTIKG0aYkZ5rGOoOQhiIvoSWX2",
    "sha512-crypt": (
        "$6$rounds=1000$saltsalt$LAV5VE5Y7w1d73x1mFNspYWUpazfmwv2SoepNXNKJ/"
        "otop/Zok96Hr8Q13LEv0DRY/x8v0/crpIjl8NJSAqXV/"
    ),
    "des-crypt": "abNANd1rDfiNc",
    "yescrypt": "$y$j75$saltsalt$0gBD67sgmJgRX3RZ6wHHO7sHimQEWGCWN85o4Twogh2",
    "scrypt": "$7$1/..../....saltsalt$PBHpLaw6RBqNXQBAw4YAPpB60tnlcWTIeulanymPdg7",
    "argon2id": "$argon2id$v=19$m=16,t=2,p=1$c2FsdHNhbHQ$uwFvIgIx5aQbgJ1a8Kx8Ww",
    "plain": "{PLAIN}secret",
    "empty": "",
    "unknown": "secret",
}
BCRYPT_TAGS = {f"bcrypt-{tag}": BCRYPT.replace("2y", tag) for tag in ("2a", "2b", "2x")}
# HAProxy is asked on glibc; the controllers' images are Alpine's, whose libc knows less.
ONLY_GLIBC = {"yescrypt", "scrypt"}

Login = Callable[[str, str], int]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that httpd may enter; pytest resets the mode of its own folders."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="module")
def auth_file(folder: Path) -> Path:
    file = folder / "auth"
    file.touch()
    file.chmod(0o644)
    return file


@pytest.fixture(scope="module")
def start(folder: Path, auth_file: Path, serve_module: Servers) -> Callable[[str], Login]:
    """Start the program of that name, once, on the one auth file; return how to log in to it."""
    started: dict[str, Login] = {}

    def start_once(name: str) -> Login:
        if name not in started:
            own = folder / name
            if name == "distribution":
                url = f"{serve_module(docker_registry(own, auth_file=auth_file)).url}/v2/"
            elif name == "nginx":
                url = f"{serve_module(nginx(own, auth_file=auth_file)).url}/"
            else:
                url = serve_module(apache(own, auth_file))
            started[name] = lambda user, password: status(url, user, password)
        return started[name]

    return start_once


def write(file: Path, content: bytes) -> None:
    """Write with a new modification time, so that every reader reloads the file."""
    with atomicfile.editing(file) as draft:
        draft.content = content


# Schemes


@pytest.fixture(scope="module", params=["distribution", "nginx", "httpd", "haproxy", "caddy"])
def running(
    request: pytest.FixtureRequest,
    start: Callable[[str], Login],
    auth_file: Path,
    folder: Path,
    serve_module: Servers,
) -> tuple[str, Login]:
    """A program whose users have every scheme, and how to log in to it."""
    hashes = HASHES | BCRYPT_TAGS
    name = request.param
    if name in {"haproxy", "caddy"}:
        server = {"haproxy": haproxy, "caddy": caddy}[name]
        listed = {user: hash_ for user, hash_ in hashes.items() if hash_}
        url = serve_module(server(folder / name, listed))
        return name, lambda user, password: status(url, user, password)
    write(auth_file, "".join(f"{user}:{hash_}\n" for user, hash_ in hashes.items()).encode())
    return name, start(name)


@pytest.mark.parametrize("scheme", [scheme for scheme in HASHES if scheme != "empty"])
def test_a_scheme_is_read_as_the_table_says(running: tuple[str, Login], scheme: str) -> None:
    name, log_in = running
    reader = READERS["haproxy-ingress" if name == "haproxy" else name]
    assert log_in(scheme, "wrong") == 401
    reads = reader.schemes[scheme].effect == "ok"
    if name == "haproxy" and scheme in ONLY_GLIBC:
        assert not reads
        reads = True
    assert log_in(scheme, PASSWORD) == (200 if reads else 401)


def test_every_tag_of_bcrypt_is_read(running: tuple[str, Login]) -> None:
    _, log_in = running
    for user in BCRYPT_TAGS:
        assert log_in(user, PASSWORD) == 200
        assert log_in(user, "wrong") == 401


def test_with_no_hash_every_password_is_rejected(
    running: tuple[str, Login], tmp_path: Path
) -> None:
    name, log_in = running
    if name not in {"haproxy", "caddy"}:
        assert READERS[name].schemes["empty"].effect == "rejects-user"
        assert {log_in("empty", password) for password in ("", "x")} == {401}
    elif name == "caddy":
        assert READERS[name].schemes["empty"].effect == "rejects-file"
        with pytest.raises(StartError, match="cannot be empty"), caddy(tmp_path, {"a": ""}):
            pass
    else:
        with haproxy(tmp_path, {"a": "", "b": BCRYPT}) as url:
            assert {status(url, "a", password) for password in ("", "x")} == {401}


# Features of lines

FEATURES = {
    "comment": (f"# x\n#odd:{BCRYPT}\n".encode(), None),
    "blank-line": (b"\n  \n\t\n", None),
    "no-colon": (b"odd\n", None),
    "crlf": (f"odd:{BCRYPT}\r\n".encode(), "odd"),
    "bom": (f"\ufeffodd:{BCRYPT}\n".encode(), "odd"),
    "trailing-blank": (f"odd:{BCRYPT} \n".encode(), "odd"),
    "leading-blank": (f" odd:{BCRYPT}\n".encode(), "odd"),
    "unicode-blank": (f"\xa0odd:{BCRYPT}\n".encode(), "odd"),
    "third-field": (f"odd:{BCRYPT}:note\n".encode(), "odd"),
    "empty-user": (f":{BCRYPT}\n".encode(), None),
    "blank-in-name": (f"odd name:{BCRYPT}\n".encode(), "odd name"),
    "long-line": (b"#" * LONG_LINE + b"\n", None),
}


def observed(log_in: Login, file: Path, odd: bytes, user: str | None) -> str:
    """Write a line with a feature before a plain one, and return the effect."""
    write(file, f"before:{BCRYPT}\n".encode())
    assert log_in("before", PASSWORD) == 200
    write(file, odd + f"good:{BCRYPT}\n".encode())
    log_in("good", PASSWORD)
    if log_in("before", PASSWORD) == 200:
        return "keeps-old-file"
    if log_in("good", PASSWORD) != 200:
        return "ignores-rest"
    if log_in("", PASSWORD) == 200:
        return "admits-nameless"
    return "ok" if user is None or log_in(user, PASSWORD) == 200 else "rejects-user"


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("name", ["distribution", "nginx", "httpd"])
def test_a_feature_of_a_line_has_the_effect_that_the_table_says(
    name: str, feature: str, start: Callable[[str], Login], auth_file: Path
) -> None:
    odd, user = FEATURES[feature]
    effect = observed(start(name), auth_file, odd, user)
    assert effect == READERS[name].line_features[feature].effect


@pytest.mark.parametrize("name", ["distribution", "nginx", "httpd"])
def test_the_used_one_of_two_lines_is_the_one_in_the_table(
    name: str, start: Callable[[str], Login], auth_file: Path
) -> None:
    write(auth_file, f"a:{BCRYPT}\na:{OTHER}\n".encode())
    answers = [start(name)("a", password) for password in (PASSWORD, "other")]
    used = READERS[name].used_line(2)
    assert answers == [200 if line == used else 401 for line in range(2)]


def test_haproxy_uses_the_first_of_two_lines_and_caddy_rejects_both(
    serve: Servers, tmp_path: Path
) -> None:
    url = serve(haproxy(tmp_path / "h", {"a": f"{BCRYPT}\n  user a password {OTHER}"}))
    assert READERS["haproxy-ingress"].used_line(2) == 0
    assert [status(url, "a", password) for password in (PASSWORD, "other")] == [200, 401]
    assert READERS["caddy"].used_line(2) is None
    twice = {"a": BCRYPT, "  a": OTHER}
    with pytest.raises(StartError, match="not unique"), caddy(tmp_path / "c", twice):
        pass


def test_haproxy_rejects_a_user_with_a_third_field(serve: Servers, tmp_path: Path) -> None:
    url = serve(haproxy(tmp_path, {"a": f"{BCRYPT}:note"}))
    assert READERS["haproxy-ingress"].line_features["third-field"].effect == "rejects-user"
    assert status(url, "a", PASSWORD) == 401


@pytest.mark.parametrize("user", ["two words", 'a"b', "a'b", "a#b", "a\\nb"])
def test_a_name_with_a_special_meaning_is_rejected_by_haproxy(user: str, tmp_path: Path) -> None:
    assert READERS["haproxy-ingress"].rejects_name(user)
    with ExitStack() as stack:
        try:
            url = stack.enter_context(haproxy(tmp_path, {user: BCRYPT}))
        except StartError:
            return
        assert status(url, user, PASSWORD) == 401


def test_other_names_are_accepted_by_haproxy(serve: Servers, tmp_path: Path) -> None:
    users = ["alice", "a.b-c_d@e+f", "a$b", "é", "a;b"]
    assert not any(READERS["haproxy-ingress"].rejects_name(user) for user in users)
    url = serve(haproxy(tmp_path, dict.fromkeys(users, BCRYPT)))
    assert [status(url, user, PASSWORD) for user in users] == [200] * len(users)


# The table itself


def test_every_scheme_was_considered_for_every_reader() -> None:
    changed = set(SCHEMES) ^ set(HASHES)
    assert not changed, (
        f"{changed}: without a word in authfile/readers.py, every reader rejects the user. "
        "Check each reader there, then add a hash to HASHES in this file."
    )


@pytest.mark.parametrize("name", READERS)
def test_every_cell_has_a_source(name: str) -> None:
    reader = READERS[name]
    assert set(reader.schemes) == set(SCHEMES)
    assert set(reader.line_features) == {*FEATURES, "duplicate"}
    for cell in (*reader.schemes.values(), *reader.line_features.values()):
        assert cell.effect in get_args(Effect)
        assert cell.source
    for sourced in (reader.layout, reader.bcrypt_cost, reader.password):
        assert sourced is None or sourced.source


def test_every_reader_but_envoy_reads_bcrypt() -> None:
    effects = by_effect("bcrypt", READERS.values())
    assert effects["rejects-file"] == ["envoy-gateway"]
    assert set(effects) == {"ok", "rejects-file"}
    assert READERS["envoy-gateway"].accepted_schemes == ("sha1",)


def test_one_layout_of_a_secret_serves_most_readers() -> None:
    like_the_default = [
        name
        for name, one in READERS.items()
        if one.layout and (one.layout.type, one.layout.key) == ("Opaque", "auth")
    ]
    assert DEFAULT_READER.name in like_the_default
    assert len(like_the_default) == 8


@pytest.mark.parametrize(
    ("user", "fits"), [("a", True), ("a.b-C_9", True), ("a@b", False), ("é", False), ("..", False)]
)
def test_a_user_that_is_a_key_must_be_one(user: str, fits: bool) -> None:
    assert READERS["haproxytech"].rejects_name(user) != fits


def test_the_hint_for_an_unknown_reader_lists_the_readers() -> None:
    with pytest.raises(InvalidInputError) as error:
        get_reader("apache")
    assert "httpd" in str(error.value.hint)
