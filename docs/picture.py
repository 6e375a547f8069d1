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

COLUMNS = 80
PICTURE = Path(__file__).with_name("terminal.svg")
HOST = "registry.foo.com"
SCENE = (
    "regctl users",
    "regctl secret create -n team-a,team-b --server {host} --username ci",
    "regctl secret list -n team-a,team-b",
    "regctl tags {host}/team/app --long",
    "regctl image prune {host}/team/app --keep-last 1 --dry-run",
    "regctl verify ci --password-stdin < wrong",
)


def on_terminal(line: str, folder: Path, environment: dict[str, str]) -> str:
    """Run a command line in a terminal of 80 columns; return everything that it shows."""
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
    shown = []
    with (
        tempfile.TemporaryDirectory() as name,
        docker_registry(Path(name, "data")) as registry,
        api_server(Path(name, "cluster")) as cluster,
    ):
        folder = Path(name)
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": name,
            "TERM": "xterm-256color",
            "KUBECONFIG": str(cluster.kubeconfig),
            "REGCTL_PASSWORD": "correct horse",
        }
        (folder / "wrong").write_text("battery staple\n")
        for setting in ("adduser alice", "adduser ci --expires 90d"):
            command = ["regctl", *setting.split()]
            subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        for namespace in ("team-a", "team-b"):
            cluster.create_namespace(namespace)
            cluster.create_service_account(namespace)
        for tag, year in (("1.0", 2025), ("2.0", 2026)):
            config = {"os": "linux", "architecture": "amd64", "created": f"{year}-02-03T00:00:00Z"}
            layers = [b"base" * 900_000, tag.encode() * 700_000]
            registry.push_image("team/app", tag, layers=layers, config=config)
        for line in SCENE:
            # It shows the name that a registry has, not the address of this one.
            asks = any(word in line for word in ("catalog", "image", "tags"))
            real = line.format(host=registry.host) + (" --plain-http" if asks else "")
            said = settled(on_terminal(real, folder, environment))
            for address in (registry.host, registry.host.replace(":", "-")):
                said = said.replace(address, HOST)
            shown.append(f"\x1b[1m$ {line.format(host=HOST)}\x1b[0m\n{said}")
    return "\n".join(shown)


def draw(shown: str) -> str:
    """Return the picture of the terminal's text, as SVG."""
    console = Console(width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(shown))
    drawn = console.export_svg(title="regctl", unique_id="regctl")
    # A picture in a README cannot load fonts from another server.
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)


if __name__ == "__main__":
    PICTURE.write_text(draw(play()))
