"""Secrets are taken out of what others say, and never out of regctl's own sentences."""

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.cli import run
from tests.conftest import Servers
from tests.servers.standin_registry import Answer, Request, StandinRegistry, standin_registry

PASSWORD = 'correct: "horse" é'
SENT = base64.b64encode(f"ci:{PASSWORD}".encode()).decode()


@pytest.mark.parametrize("password", ["password", "alice", "auth", "wrong"])
def test_a_password_that_is_an_ordinary_word_changes_no_message(
    tmp_path: Path, password: str
) -> None:
    """Once this said `*** password for alice`."""
    file = str(tmp_path / "auth")
    run("adduser", "alice", "--generate", "-f", file)
    result = run("verify", "alice", "-f", file, "--password-stdin", stdin=password)
    assert result.exit_code == 4
    assert result.stderr.splitlines()[0] == "error: wrong password for alice"
    assert "***" not in result.stderr


def test_the_answers_of_a_registry_are_shown_without_the_password(serve: Servers) -> None:
    """It repeats the password in an error, a warning and the URL of the next page."""
    escaped = quote(PASSWORD)

    def repeat(request: Request) -> Answer:
        if request.query.get("last"):
            words = f"no {PASSWORD} or {escaped} or {json.dumps(PASSWORD)} or {SENT} for ci"
            return Answer.of({"errors": [{"code": "DENIED", "message": words}]}, 403)
        link = f'</v2/_catalog?last={escaped}>; rel="next"'
        warning = f'299 - "bye {SENT}"'
        return Answer.of({"repositories": ["a"]}, headers={"Link": link, "Warning": warning})

    host = serve(standin_registry(StandinRegistry(script=repeat))).host
    flags = ["--plain-http", "-u", "ci", "--password-stdin", "-v"]
    result = run("catalog", host, *flags, stdin=PASSWORD)
    assert result.stdout == "a\n"
    assert f"note: {host} warns: bye ***\n" in result.stderr
    assert 'forbidden for ci: no *** or *** or "***" or *** for ci' in result.stderr
    assert "last=***" in result.stderr
    for form in (PASSWORD, escaped, SENT.rstrip("=")):
        assert form not in result.stderr


def test_the_words_of_a_credential_helper_are_not_shown(
    serve: Servers, isolated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-loud"
    helper.write_text("#!/bin/sh\n[ $1 = store ] && { echo cannot store $(cat) >&2; exit 1; }\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (isolated_home / ".docker").mkdir()
    (isolated_home / ".docker" / "config.json").write_text('{"credsStore": "loud"}')
    host = serve(standin_registry()).host
    flags = ["--plain-http", "-u", "ci", "--password-stdin"]
    result = run("login", host, *flags, stdin=PASSWORD)
    assert result.exit_code == 1
    assert "docker-credential-loud: exit code 1" in result.stderr
    assert "ServerURL" not in result.stderr
