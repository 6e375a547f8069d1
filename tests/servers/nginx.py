"""nginx with Basic authentication: alone, or in front of a registry."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.certificates import Certificate
from tests.servers.process import Process, on_free_port
from tests.servers.programs import find


@dataclass(frozen=True)
class Nginx:
    """A running nginx."""

    host: str
    url: str
    process: Process
    ca_file: Path | None = None


@contextmanager
def nginx(
    folder: Path,
    *,
    upstream: str | None = None,
    auth_file: Path | None = None,
    pushers: Path | None = None,
    certificate: Certificate | None = None,
    max_body: str = "0",
    buffering: bool = False,
    realm: str = "registry",
    patience: str = "60",
) -> Iterator[Nginx]:
    """
    Run nginx; without an *upstream* (HOST:PORT) it answers 200 to every authenticated user.

    *pushers* is the auth file of the users who may do more than read. *max_body* is nginx's
    `client_max_body_size`; "0" is no limit. With *buffering*, the default of ingress-nginx, a
    request is forwarded when it is complete. *patience* is how many seconds the upstream may be
    silent.
    """
    program = find("nginx")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "root").mkdir(exist_ok=True)
    (folder / "root" / "index.html").write_text("in\n")
    auth = ""
    if auth_file is not None:
        auth = f'auth_basic "{realm}"; auth_basic_user_file {auth_file};'
    if pushers is not None:
        auth += f'limit_except GET HEAD {{ auth_basic "{realm}"; auth_basic_user_file {pushers}; }}'
    tls = ""
    if certificate is not None:
        tls = f"ssl_certificate {certificate.chain}; ssl_certificate_key {certificate.key};"
    content = f"root {folder / 'root'};"
    if upstream is not None:
        # A registry behind a proxy gets its own address from these headers.
        content = (
            f"proxy_pass http://{upstream}; proxy_set_header Host $http_host; "
            "proxy_set_header X-Forwarded-Proto $scheme; "
            f"proxy_request_buffering {'on' if buffering else 'off'}; "
            f"proxy_read_timeout {patience}s; proxy_send_timeout {patience}s; "
            "proxy_set_header Authorization $http_authorization;"
        )

    def arguments(port: int) -> list[str]:
        config = folder / "nginx.conf"
        config.write_text(
            f"""
            daemon off; master_process on; worker_processes 1; user root;
            pid {folder}/nginx.pid; error_log {folder}/error.log;
            events {{ worker_connections 256; }}
            http {{
              access_log off;
              client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
              fastcgi_temp_path {folder}/fcgi; uwsgi_temp_path {folder}/uwsgi;
              scgi_temp_path {folder}/scgi;
              server {{
                listen 127.0.0.1:{port} {"ssl" if certificate is not None else ""};
                client_max_body_size {max_body};
                {tls}
                location / {{ {auth} {content} }}
              }}
            }}
            """
        )
        return [program, "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")]

    with on_free_port(arguments, log=folder / "nginx.log") as (process, port):
        scheme = "https" if certificate is not None else "http"
        host = f"127.0.0.1:{port}"
        ca_file = certificate.ca_file if certificate is not None else None
        yield Nginx(host, f"{scheme}://{host}", process, ca_file)
