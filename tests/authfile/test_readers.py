"""
The table of who reads what, asked of the programs themselves.

A cell that disagrees with distribution, nginx, httpd, HAProxy or Caddy fails here.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from regctl import atomicfile
from regctl.authfile.readers import (
    DEFAULT,
    LONG_LINE,
    ODDITIES,
    READERS,
    SCHEMES,
    by_effect,
    named,
)
from regctl.errors import InvalidInputError
from tests.conftest import Servers
from tests.servers.consumers import apache, caddy, haproxy, status
from tests.servers.docker_registry import docker_registry
from tests.servers.nginx import nginx
from tests.servers.process import StartError

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

Ask = Callable[[str, str], int]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that httpd may enter; pytest shuts its own whenever it starts anew."""
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
def readers(folder: Path, auth_file: Path, serve_module: Servers) -> Callable[[str], Ask]:
    """Start the program of that name, once, on the one auth file; return how to ask it."""
    started: dict[str, Ask] = {}

    def reader(name: str) -> Ask:
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

    return reader


def write(file: Path, content: bytes) -> None:
    """Write so that every reader notices."""
    with atomicfile.editing(file) as draft:
        draft.content = content


# Schemes


@pytest.fixture(scope="module", params=["distribution", "nginx", "httpd", "haproxy", "caddy"])
def asked(
    request: pytest.FixtureRequest,
    readers: Callable[[str], Ask],
    auth_file: Path,
    folder: Path,
    serve_module: Servers,
) -> tuple[str, Ask]:
    """A program that has every scheme in its list, and how to ask it."""
    hashes = HASHES | BCRYPT_TAGS
    name = request.param
    if name in {"haproxy", "caddy"}:
        server = {"haproxy": haproxy, "caddy": caddy}[name]
        listed = {user: hash_ for user, hash_ in hashes.items() if hash_}
        url = serve_module(server(folder / name, listed))
        return name, lambda user, password: status(url, user, password)
    write(auth_file, "".join(f"{user}:{hash_}\n" for user, hash_ in hashes.items()).encode())
    return name, readers(name)


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if scheme != "empty"])
def test_a_scheme_is_read_as_the_table_says(asked: tuple[str, Ask], scheme: str) -> None:
    name, ask = asked
    consumer = READERS["haproxy-ingress" if name == "haproxy" else name]
    assert ask(scheme, "wrong") == 401
    reads = consumer.schemes[scheme].effect == "fine"
    if name == "haproxy" and scheme in ONLY_GLIBC:
        assert not reads
        reads = True
    assert ask(scheme, PASSWORD) == (200 if reads else 401)


def test_every_tag_of_bcrypt_is_read(asked: tuple[str, Ask]) -> None:
    _, ask = asked
    for user in BCRYPT_TAGS:
        assert ask(user, PASSWORD) == 200
        assert ask(user, "wrong") == 401


def test_no_hash_lets_nobody_in(asked: tuple[str, Ask], tmp_path: Path) -> None:
    name, ask = asked
    if name not in {"haproxy", "caddy"}:
        assert READERS[name].schemes["empty"].effect == "shuts"
        assert {ask("empty", password) for password in ("", "x")} == {401}
    elif name == "caddy":
        assert READERS[name].schemes["empty"].effect == "breaks"
        with pytest.raises(StartError, match="cannot be empty"), caddy(tmp_path, {"a": ""}):
            pass
    else:
        with haproxy(tmp_path, {"a": "", "b": BCRYPT}) as url:
            assert {status(url, "a", password) for password in ("", "x")} == {401}


# Oddities

ODD_ROWS = {
    "comment": (f"# x\n#odd:{BCRYPT}\n".encode(), None),
    "blank-line": (b"\n  \n\t\n", None),
    "no-colon": (b"odd\n", None),
    "crlf": (f"odd:{BCRYPT}\r\n".encode(), "odd"),
    "bom": (f"\ufeffodd:{BCRYPT}\n".encode(), "odd"),
    "trailing-blank": (f"odd:{BCRYPT} \n".encode(), "odd"),
    "leading-blank": (f" odd:{BCRYPT}\n".encode(), "odd"),
    "third-field": (f"odd:{BCRYPT}:note\n".encode(), "odd"),
    "empty-user": (f":{BCRYPT}\n".encode(), None),
    "blank-in-name": (f"odd name:{BCRYPT}\n".encode(), "odd name"),
    "long-line": (b"#" * LONG_LINE + b"\n", None),
}


def observed(ask: Ask, file: Path, odd: bytes, user: str | None) -> str:
    """Put an odd line before a good one, and tell what becomes of both."""
    write(file, f"before:{BCRYPT}\n".encode())
    assert ask("before", PASSWORD) == 200
    write(file, odd + f"good:{BCRYPT}\n".encode())
    ask("good", PASSWORD)
    if ask("before", PASSWORD) == 200:
        return "stale"
    if ask("good", PASSWORD) != 200:
        return "hides"
    if ask("", PASSWORD) == 200:
        return "opens"
    return "fine" if user is None or ask(user, PASSWORD) == 200 else "shuts"


@pytest.mark.parametrize("oddity", ODD_ROWS)
@pytest.mark.parametrize("name", ["distribution", "nginx", "httpd"])
def test_an_oddity_does_what_the_table_says(
    name: str, oddity: str, readers: Callable[[str], Ask], auth_file: Path
) -> None:
    odd, user = ODD_ROWS[oddity]
    effect = observed(readers(name), auth_file, odd, user)
    assert effect == READERS[name].oddities[oddity].effect


@pytest.mark.parametrize("name", ["distribution", "nginx", "httpd"])
def test_of_two_lines_the_one_counts_that_the_table_says(
    name: str, readers: Callable[[str], Ask], auth_file: Path
) -> None:
    write(auth_file, f"a:{BCRYPT}\na:{OTHER}\n".encode())
    answers = [readers(name)("a", password) for password in (PASSWORD, "other")]
    winner = READERS[name].winner(2)
    assert answers == [200 if line == winner else 401 for line in range(2)]


def test_haproxy_takes_the_first_of_two_users_and_caddy_neither(
    serve: Servers, tmp_path: Path
) -> None:
    url = serve(haproxy(tmp_path / "h", {"a": f"{BCRYPT}\n  user a password {OTHER}"}))
    assert READERS["haproxy-ingress"].winner(2) == 0
    assert [status(url, "a", password) for password in (PASSWORD, "other")] == [200, 401]
    assert READERS["caddy"].winner(2) is None
    twice = {"a": BCRYPT, "  a": OTHER}
    with pytest.raises(StartError, match="not unique"), caddy(tmp_path / "c", twice):
        pass


def test_haproxy_shuts_out_a_user_with_a_third_field(serve: Servers, tmp_path: Path) -> None:
    url = serve(haproxy(tmp_path, {"a": f"{BCRYPT}:note"}))
    assert READERS["haproxy-ingress"].oddities["third-field"].effect == "shuts"
    assert status(url, "a", PASSWORD) == 401


@pytest.mark.parametrize("user", ["two words", 'a"b', "a'b", "a#b", "a\\nb"])
def test_a_name_that_haproxy_reads_as_something_else(user: str, tmp_path: Path) -> None:
    pattern = READERS["haproxy-ingress"].bad_name
    assert pattern is not None
    assert pattern.fullmatch(user)
    with ExitStack() as stack:
        try:
            url = stack.enter_context(haproxy(tmp_path, {user: BCRYPT}))
        except StartError:
            return
        assert status(url, user, PASSWORD) == 401


def test_other_names_are_as_good_for_haproxy(serve: Servers, tmp_path: Path) -> None:
    users = ["alice", "a.b-c_d@e+f", "a$b", "é", "a;b"]
    pattern = READERS["haproxy-ingress"].bad_name
    assert pattern is not None
    assert not any(pattern.fullmatch(user) for user in users)
    url = serve(haproxy(tmp_path, dict.fromkeys(users, BCRYPT)))
    assert [status(url, user, PASSWORD) for user in users] == [200] * len(users)


# The table itself


@pytest.mark.parametrize("name", READERS)
def test_there_is_a_cell_with_a_source_for_everything(name: str) -> None:
    consumer = READERS[name]
    assert set(consumer.schemes) == set(SCHEMES)
    assert set(consumer.oddities) == set(ODDITIES)
    for cell in (*consumer.schemes.values(), *consumer.oddities.values()):
        assert cell.source
    for sourced in (consumer.shape, consumer.bcrypt_cost, consumer.password):
        assert sourced is None or sourced.source


def test_bcrypt_is_read_by_all_but_envoy() -> None:
    assert by_effect("schemes", "bcrypt")["breaks"] == ["envoy-gateway"]
    assert READERS["envoy-gateway"].readable == ("sha1",)


def test_one_shape_of_a_secret_serves_most() -> None:
    like_the_default = [
        consumer.name
        for consumer in READERS.values()
        if consumer.shape and (consumer.shape.type, consumer.shape.key) == ("Opaque", "auth")
    ]
    assert DEFAULT.name in like_the_default
    assert len(like_the_default) == 8


@pytest.mark.parametrize(
    ("user", "fits"), [("a", True), ("a.b-C_9", True), ("a@b", False), ("é", False), ("..", False)]
)
def test_a_user_that_is_a_key_must_be_one(user: str, fits: bool) -> None:
    pattern = READERS["haproxytech"].bad_name
    assert pattern is not None
    assert (pattern.fullmatch(user) is None) == fits


def test_an_unknown_consumer_is_told_who_there_is() -> None:
    with pytest.raises(InvalidInputError) as error:
        named("apache")
    assert "httpd" in str(error.value.hint)
