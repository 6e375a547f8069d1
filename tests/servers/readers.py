"""httpd, HAProxy and Caddy with the users of an auth file: they answer 200 or 401 on `/`."""

import base64
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import on_free_port
from tests.servers.programs import find


def status(url: str, user: str | None = None, password: str = "") -> int:
    """Return the status of `GET url` with these credentials."""
    request = urllib.request.Request(url)
    if user is not None:
        encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {encoded}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@contextmanager
def apache(folder: Path, auth_file: Path) -> Iterator[str]:
    """Run httpd with *auth_file*; yields its URL."""
    program = find("apache2")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "root").mkdir(exist_ok=True)
    (folder / "root" / "index.html").write_text("in\n")
    _make_readable(folder / "root")
    _make_readable(auth_file.parent)
    modules = "/usr/lib/apache2/modules"

    def arguments(port: int) -> list[str]:
        config = folder / "httpd.conf"
        config.write_text(
            "\n".join(
                [
                    f"ServerRoot {folder}",
                    f"PidFile {folder}/httpd.pid",
                    f"ErrorLog {folder}/error.log",
                    f"DefaultRuntimeDir {folder}",
                    f"Listen 127.0.0.1:{port}",
                    "ServerName localhost",
                    *(
                        f"LoadModule {name}_module {modules}/mod_{name}.so"
                        for name in (
                            "mpm_event",
                            "authn_core",
                            "authn_file",
                            "authz_core",
                            "authz_user",
                            "auth_basic",
                            "dir",
                        )
                    ),
                    "User www-data",
                    "Group www-data",
                    f"DocumentRoot {folder}/root",
                    f"<Directory {folder}/root>",
                    "AuthType Basic",
                    "AuthName registry",
                    f"AuthUserFile {auth_file}",
                    "Require valid-user",
                    "DirectoryIndex index.html",
                    "</Directory>",
                ]
            )
        )
        return [program, "-f", str(config), "-D", "FOREGROUND"]

    with on_free_port(arguments, log=folder / "httpd.log") as (_, port):
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def haproxy(folder: Path, hashes: Mapping[str, str]) -> Iterator[str]:
    """Run HAProxy with a userlist of *hashes* by user; yields its URL."""
    program = find("haproxy")
    folder.mkdir(parents=True, exist_ok=True)

    def arguments(port: int) -> list[str]:
        config = folder / "haproxy.cfg"
        users = "\n".join(f"  user {user} password {hash_}" for user, hash_ in hashes.items())
        config.write_text(
            f"""
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
userlist registry
{users}
frontend front
  bind 127.0.0.1:{port}
  http-request auth realm registry unless {{ http_auth(registry) }}
  http-request return status 200 content-type text/plain string in
"""
        )
        return [program, "-f", str(config), "-db"]

    with on_free_port(arguments, log=folder / "haproxy.log") as (_, port):
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def caddy(folder: Path, hashes: Mapping[str, str]) -> Iterator[str]:
    """Run Caddy with *hashes* by user; yields its URL."""
    program = find("caddy")
    folder.mkdir(parents=True, exist_ok=True)

    def arguments(port: int) -> list[str]:
        config = folder / "Caddyfile"
        encoded = {
            user: base64.b64encode(hash_.encode()).decode() for user, hash_ in hashes.items()
        }
        users = "\n".join(f"    {user} {hash_}" for user, hash_ in encoded.items())
        config.write_text(
            f"""
{{
  admin off
  auto_https off
  storage file_system {folder}/caddy
}}
http://127.0.0.1:{port} {{
  bind 127.0.0.1
  basicauth /* {{
{users}
  }}
  respond "in"
}}
"""
        )
        return [program, "run", "--config", str(config), "--adapter", "caddyfile"]

    with on_free_port(arguments, log=folder / "caddy.log") as (_, port):
        yield f"http://127.0.0.1:{port}/"


def _make_readable(folder: Path) -> None:
    """Make a folder in our temporary one readable for httpd, which drops the rights of root."""
    temporary = Path(tempfile.gettempdir())
    for parent in (folder, *folder.parents):
        if temporary in parent.parents and parent.stat().st_uid == os.getuid():
            parent.chmod(parent.stat().st_mode | 0o011)
