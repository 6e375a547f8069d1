"""The registry, nginx and htpasswd read what regctl writes."""

import base64
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from regctl.authfile.edit import AddOptions, add_user
from tests.conftest import Servers
from tests.servers.docker_registry import docker_registry
from tests.servers.nginx import nginx

AWKWARD = {
    "alice": "secret",
    "Zoë": "pässwörd ☃",
    "two words": 'quote"back\\slash $HOME',
    "a.b-c_d@e+f": "colon:and#hash",
    "longest": "x" * 72,
}


def regctl(*args: str | Path, stdin: str = "") -> str:
    run = subprocess.run(
        [sys.executable, "-m", "regctl", *args],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_htpasswd_accepts_every_line_that_regctl_writes(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    file = tmp_path / "auth"
    for name, password in AWKWARD.items():
        add_user(file, name, password, AddOptions(cost=4))
    for name, password in AWKWARD.items():
        verify = [program("htpasswd"), "-vb", str(file), name]
        assert subprocess.run([*verify, password], capture_output=True, check=False).returncode == 0
        assert subprocess.run([*verify, "wrong"], capture_output=True, check=False).returncode == 3


def accepted_by_nginx(url: str, name: str, password: str) -> bool:
    request = urllib.request.Request(url)
    encoded = base64.b64encode(f"{name}:{password}".encode()).decode()
    request.add_header("Authorization", f"Basic {encoded}")
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return bool(response.status == 200)
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 401:
                raise
        return False


@pytest.fixture(params=["registry", "nginx"])
def accepts(
    request: pytest.FixtureRequest, serve: Servers, tmp_path: Path
) -> Callable[[str, str], bool]:
    """Return how to log in to a server that reads tmp_path/auth."""
    file = tmp_path / "auth"
    add_user(file, "first", "x", AddOptions(cost=4))
    if request.param == "registry":
        return serve(docker_registry(tmp_path / "registry", auth_file=file)).allows
    file.chmod(0o644)
    url = serve(nginx(tmp_path / "nginx", auth_file=file)).url
    return lambda name, password: accepted_by_nginx(url, name, password)


def test_a_server_accepts_a_user_until_it_is_removed(
    accepts: Callable[[str, str], bool], tmp_path: Path
) -> None:
    file = tmp_path / "auth"
    for name, password in AWKWARD.items():
        regctl("adduser", name, "--password-stdin", "-f", file, stdin=password)
    assert all(accepts(name, password) for name, password in AWKWARD.items())
    assert not accepts("alice", "wrong")
    regctl("adduser", "alice", "--password-stdin", "-f", file, stdin="changed")
    assert accepts("alice", "changed")
    assert not accepts("alice", "secret")
    regctl("deluser", "alice", "--yes", "-f", file)
    assert not accepts("alice", "changed")
    assert accepts("Zoë", AWKWARD["Zoë"])


def test_a_server_rejects_a_locked_user_and_accepts_the_others(
    accepts: Callable[[str, str], bool], tmp_path: Path
) -> None:
    """regctl stores locks and days in comments, which the server ignores."""
    file = tmp_path / "auth"
    regctl("adduser", "guest", "--password-stdin", "--expires", "30d", "-f", file, stdin="secret")
    assert accepts("guest", "secret")
    regctl("auth", "lock", "guest", "-f", file)
    assert not accepts("guest", "secret")
    assert accepts("first", "x")
    regctl("auth", "unlock", "guest", "-f", file)
    assert accepts("guest", "secret")


def test_a_server_reads_a_list_written_in_one_write(
    accepts: Callable[[str, str], bool], tmp_path: Path
) -> None:
    file = tmp_path / "auth"
    users = "".join(f"{name}:{password}\n" for name, password in AWKWARD.items())
    regctl("auth", "write", "--cost", "4", "--exclusive", "--yes", "-f", file, stdin=users)
    assert all(accepts(name, password) for name, password in AWKWARD.items())
    assert not accepts("first", "x")
