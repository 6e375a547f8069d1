"""
The certificates that docker and podman keep for one registry, in `certs.d/HOST[:PORT]`.

As docker's registry/config.go: `*.crt` are trusted besides the system's, and `NAME.cert` with
`NAME.key` is for the client.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HostCertificates:
    """The files for a registry: *authorities* to trust, and pairs of certificate and key."""

    authorities: tuple[Path, ...] = ()
    clients: tuple[tuple[Path, Path], ...] = ()


def host_certificates(host: str, folders: Iterable[Path]) -> HostCertificates:
    """Return what the *folders* named `certs.d` have for *host*; unreadable ones have nothing."""
    files = sorted(path for folder in folders for path in _files(folder / host))
    return HostCertificates(
        tuple(path for path in files if path.suffix == ".crt"),
        tuple((path, path.with_suffix(".key")) for path in files if path.suffix == ".cert"),
    )


def _files(folder: Path) -> Iterator[Path]:
    try:
        yield from folder.iterdir()
    except OSError:
        return
