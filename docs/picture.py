"""`python -m docs.picture`, by `make picture`: draw the README's picture from real output."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.servers.docker_registry import docker_registry
from tests.servers.kubernetes import api_server

COLUMNS = 100
PICTURE = Path(__file__).with_name("terminal.svg")
HOST = "registry.foo.com"
SCENE = (
    "regctl doctor {host}/team/app:1.0 -n team-a",
    "regctl secret create --server {host} -n team-a,team-b",
    "regctl doctor {host}/team/app:1.0 -n team-a",
    "regctl rotate ci --server {host} -f auth --grace 2s",
)


def on_terminal(line: str, folder: Path, environment: dict[str, str]) -> str:
    """Run a command line in a terminal of 100 columns; return everything that it shows."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    with subprocess.Popen(
        ["sh", "-c", line], cwd=folder, env=environment, stdout=slave, stderr=slave, stdin=slave
    ) as process:
        os.close(slave)
        shown = bytearray()
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        process.wait()
    os.close(master)
    return shown.decode().replace("\r\n", "\n")


def settled(shown: str) -> str:
    """Return what the screen shows at the end, after a progress bar has gone."""
    before, bar, rest = shown.partition("\x1b[?25l")
    return before + (rest.rpartition("\x1b[2K")[2] if bar else rest)


def play() -> str:
    """Return what the terminal shows when the scene runs on real servers."""
    with tempfile.TemporaryDirectory() as name, api_server(Path(name, "cluster")) as cluster:
        folder = Path(name)
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": name,
            "TERM": "xterm-256color",
            "KUBECONFIG": str(cluster.kubeconfig),
        }

        def prepare(line: str, password: str) -> None:
            secret = {"REGCTL_PASSWORD": password}
            command = ["regctl", *line.split()]
            subprocess.run(
                command, cwd=folder, env=environment | secret, check=True, capture_output=True
            )

        images = folder / "images"
        config = {"os": "linux", "architecture": "amd64", "created": "2026-02-03T00:00:00Z"}
        with docker_registry(folder / "open", root=images) as registry:
            registry.push_image("team/app", "1.0", layers=[b"base" * 900_000], config=config)
        prepare("adduser ci", "correct horse")
        for namespace in ("team-a", "team-b"):
            cluster.create_namespace(namespace)
            cluster.create_service_account(namespace)
        auth = folder / "auth"
        with docker_registry(folder / "closed", root=images, auth_file=auth) as registry:
            create = f"secret create --server {registry.host} --username ci --plain-http"
            prepare(f"{create} -n team-a,team-b --attach default", "correct horse")
            prepare("adduser ci", "battery staple")
            prepare(f"login {registry.host} --plain-http --username ci", "battery staple")
            return "\n".join(_shown(line, registry.host, folder, environment) for line in SCENE)


def _shown(line: str, host: str, folder: Path, environment: dict[str, str]) -> str:
    """Return a command line and its output, with a registry's usual name for this one's address."""
    output = settled(on_terminal(f"{line.format(host=host)} --plain-http", folder, environment))
    for address in (host, host.replace(":", "-")):
        output = output.replace(address, HOST)
    return f"\x1b[1m$ {line.format(host=HOST)}\x1b[0m\n{output}"


def draw(shown: str) -> str:
    """Return the picture of the terminal's text, as SVG."""
    console = Console(width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True)
    for line in Text.from_ansi(shown).split(allow_blank=True):
        # As a terminal wraps: at the last column, and no space is lost.
        line.rstrip()
        for part in line.divide(range(COLUMNS, len(line), COLUMNS)):
            console.print(part, no_wrap=True)
    drawn = console.export_svg(title="regctl", unique_id="regctl")
    # A picture in a README cannot load fonts from another server.
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)


if __name__ == "__main__":
    PICTURE.write_text(draw(play()))
