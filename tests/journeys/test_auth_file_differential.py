"""
Compare regctl's verify with the registry, nginx and Apache's `htpasswd -v`, on generated files.

If they differ for a reason that is not listed here, the test fails.
"""

import base64
import http.client
import os
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from regctl.authfile import hashes
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.lines import BLANKS
from regctl.errors import (
    DifferenceError,
    UnknownUserError,
    WrongPasswordError,
)
from tests.cli import run
from tests.conftest import Servers
from tests.servers.docker_registry import docker_registry
from tests.servers.nginx import nginx

FILES = 500

OTHER = hashes.make("another password", cost=4)
FILLERS = [
    b"# a comment",
    b"#bob:x",
    b"",
    b" \t",
    b"someone:" + OTHER.encode(),
    b"#regctl:locked shut:" + OTHER.encode(),
]


@dataclass(frozen=True)
class Case:
    """A file, and a user and password to try."""

    content: bytes
    name: str
    password: str
    features: frozenset[str]


def made(scheme: str, password: str) -> str:
    """Hash, also with the schemes that regctl reads and never writes."""
    from passlib import hash as handlers

    data = password.encode()
    foreign: dict[str, Callable[[], str]] = {
        "des-crypt": lambda: handlers.des_crypt.using(salt="ab").hash(data),
        "md5-crypt": lambda: handlers.md5_crypt.hash(data),
        "ssha": lambda: handlers.ldap_salted_sha1.hash(data),
        "bcrypt 2b": lambda: hashes.make(password, cost=4).replace("$2y$", "$2b$"),
    }
    if scheme in foreign:
        return foreign[scheme]()
    costs = {"bcrypt": 4, "sha256-crypt": 1000, "sha512-crypt": 1000}
    return hashes.make(password, scheme, costs.get(scheme))


PASSWORDS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=18),
    st.text("abc ", min_size=6, max_size=9),
    st.text("x", min_size=70, max_size=72),
)
NAMES = st.one_of(
    st.sampled_from(["alice", "bob", "two words", "#bob", " lead", "\xa0wide", "Zoë"]),
    st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters=":"),
        min_size=1,
        max_size=12,
    ),
)
SCHEMES = [
    "bcrypt", "bcrypt 2b", "apr1", "sha1", "ssha",
    "md5-crypt", "sha256-crypt", "sha512-crypt", "des-crypt",
]  # fmt: skip
DRESSES = {
    "plain": b"%s:%s",
    "carriage return": b"%s:%s\r",
    "blank after": b"%s:%s ",
    "blank before": b" %s:%s",
    "third field": b"%s:%s:note",
    "other blank before": b"%s%%s:%%s",
    "other blank after": b"%%s:%%s%s",
}
WIDE = sorted(blank for blank in BLANKS if not blank.isascii())


@st.composite
def cases(draw: st.DrawFn) -> Case:
    name, password = draw(NAMES), draw(PASSWORDS)
    scheme, dress = draw(st.sampled_from(SCHEMES)), draw(st.sampled_from(sorted(DRESSES)))
    template = DRESSES[dress]
    if dress.startswith("other blank"):
        template %= draw(st.sampled_from(WIDE)).encode()
    line = template % (name.encode(), made(scheme, password).encode())
    rows = draw(st.lists(st.sampled_from(FILLERS), max_size=3))
    rows.insert(draw(st.integers(0, len(rows))), line)
    features = {scheme, dress}
    if draw(st.booleans()) and draw(st.booleans()):
        rows.insert(draw(st.integers(0, len(rows))), name.encode() + b":" + OTHER.encode())
        features.add("two lines")
    if name[0] in BLANKS:
        features.add("a name that starts with a blank")
    tried = draw(
        st.one_of(
            st.just(password),
            st.sampled_from([password + "x", password[:-1], password.swapcase(), "x" * 80]),
            PASSWORDS,
        )
    )
    end = draw(st.sampled_from([b"\n", b""]))
    return Case(b"\n".join(rows) + end, name, tried, frozenset(features))


def regctl_accepts(case: Case) -> bool:
    try:
        HtpasswdFile(case.content).verify(case.name, case.password)
    except (DifferenceError, UnknownUserError, WrongPasswordError):
        return False
    return True


# Differences and their reasons.
APACHE = {
    "blank after": "it reads the blank as a part of the hash; the registry and httpd do not",
    "third field": "it reads the field as a part of the hash; nginx and httpd do not",
    "ssha": "it does not know {SSHA}; nginx does",
    "other blank before": "it reads the blank as a part of the name; the registry does not",
    "other blank after": "it reads the blank as a part of the hash; the registry does not",
    "a name that starts with a blank": "it reads a blank that is not ASCII as a part of the name",
}
NGINX = {
    "two lines": "it uses the first; regctl and `htpasswd -v` require all of them to agree",
    "blank after": "it reads the blank as a part of the hash; the registry and httpd do not",
    "blank before": "it reads the blank as a part of the name; the registry and httpd do not",
    "a name that starts with a blank": "it reads the blank as a part of the name",
    "other blank before": "it reads the blank as a part of the name; the registry does not",
    "other blank after": "it reads the blank as a part of the hash; the registry does not",
}
REGISTRY = {
    "two lines": "it uses the last; regctl requires all of them to agree",
} | dict.fromkeys(set(SCHEMES) - {"bcrypt", "bcrypt 2b"}, "it reads bcrypt only")


def htpasswd_accepts(program: str, file: Path, case: Case) -> bool:
    run = subprocess.run(
        [program, "-vb", str(file), case.name, case.password], capture_output=True, check=False
    )
    assert run.returncode in {0, 3, 6}, run
    return run.returncode == 0


def server_accepts(connection: http.client.HTTPConnection, case: Case) -> bool:
    token = base64.b64encode(f"{case.name}:{case.password}".encode()).decode()
    connection.request("GET", "/v2/", headers={"Authorization": f"Basic {token}"})
    response = connection.getresponse()
    response.read()
    assert response.status in {200, 401, 404}  # nginx has no such page
    return response.status != 401


@pytest.mark.slow
def test_regctl_agrees_with_the_readers_or_the_reason_is_listed(
    program: Callable[[str], str],
    serve: Servers,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "auth"
    file.touch(mode=0o644)
    htpasswd = program("htpasswd")
    # nginx reads the file for every request, the registry when its time is another.
    connections = [
        http.client.HTTPConnection(server.host, timeout=30)
        for server in (
            serve(nginx(tmp_path / "nginx", auth_file=file)),
            serve(docker_registry(tmp_path / "registry", auth_file=file)),
        )
    ]
    in_nginx, in_registry = connections
    counted: Counter[str] = Counter()

    @settings(
        max_examples=FILES,
        derandomize=True,  # the same files in each run
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        database=None,
    )
    @given(case=cases())
    def compare(case: Case) -> None:
        file.write_bytes(case.content)
        counted["files"] += 1
        os.utime(file, (counted["files"], counted["files"]))
        ours = regctl_accepts(case)
        counted["accepted by regctl"] += ours
        for peer, theirs, reasons in (
            ("htpasswd -v", htpasswd_accepts(htpasswd, file, case), APACHE),
            ("nginx", server_accepts(in_nginx, case), NGINX),
            ("registry", server_accepts(in_registry, case), REGISTRY),
        ):
            if ours == theirs:
                counted[f"{peer} agrees"] += 1
                continue
            found = case.features & reasons.keys()
            assert found, f"regctl: {ours}, {peer}: {theirs}"
            counted.update(f"{peer} differs: {reason}" for reason in found)

    try:
        compare()
    finally:
        for connection in connections:
            connection.close()
    with capsys.disabled():
        print(f"\n{dict(sorted(counted.items()))}")  # noqa: T201 - what was found
    assert counted["files"] >= FILES
    assert FILES / 5 < counted["accepted by regctl"] < FILES * 4 / 5
    # No reason is listed that nothing needs.
    for peer, reasons in (("htpasswd -v", APACHE), ("nginx", NGINX), ("registry", REGISTRY)):
        assert all(counted[f"{peer} differs: {reason}"] for reason in reasons)


@pytest.mark.parametrize("end", ["before", "after"])
def test_a_deleted_or_locked_user_is_rejected_whatever_blanks_its_line_has(
    serve: Servers, tmp_path: Path, end: str
) -> None:
    """Go trims these blanks: the registry lets the user in as if they were not there."""
    file = tmp_path / "auth"
    server = serve(docker_registry(tmp_path / "registry", auth_file=file))
    password = "another password"
    for number, blank in enumerate(BLANKS.replace("\n", "")):
        before, after = (blank, "") if end == "before" else ("", blank)
        for command in (["deluser", "--yes"], ["auth", "lock"]):
            file.write_text(f"{before}alice:{OTHER}{after}\nbob:{OTHER}\n", newline="")
            os.utime(file, (number, number))
            assert server.allows("alice", password)
            assert run(*command, "alice", "-f", str(file)).exit_code == 0
            assert not server.allows("alice", password)
            assert server.allows("bob", password)
            os.utime(file, (number + 0.5, number + 0.5))
