"""Fetch the users of an auth Secret into an auth file."""

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from regctl import atomicfile
from regctl.atomicfile import WriteOptions
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.readers import AuthFileReader
from regctl.authsecret.compare import UserChange, compare, merge, summary
from regctl.authsecret.secret import fetch, read
from regctl.cluster.client import Cluster
from regctl.outcome import RESULTS, Action, DryRun, Outcome


@dataclass(frozen=True)
class Pull:
    """
    What the file *path* needs to have the users of a Secret.

    *old* is its present content, None if it does not exist, and *new* the content to write.
    *users* are the differences.
    """

    path: Path
    old: bytes | None = field(repr=False)
    new: bytes = field(repr=False)
    users: tuple[UserChange, ...]

    @property
    def action(self) -> Action:
        """`create`, `update` or `unchanged`."""
        if self.old is None:
            return "create"
        return "unchanged" if self.old == self.new else "update"

    def run(self, options: WriteOptions, dry_run: DryRun | None = None) -> Outcome:
        """Write the file. Raises FileAccessError, also if it changed since it was read."""
        if self.action != "unchanged" and dry_run is None:
            atomicfile.swap(self.path, self.old, self.new, options)
        return Outcome(
            "file",
            str(self.path),
            RESULTS[self.action],
            note=summary(self.users) or None,
            differences=tuple(map(str, self.users)),
            details={"users": [user._asdict() for user in self.users]},
        )


def prepare(
    cluster: Cluster,
    secret: tuple[str, str],
    path: Path,
    reader: AuthFileReader,
    today: date | None = None,
) -> Pull:
    """
    Read *secret*, a namespace and a name, and the file, and plan what the file needs.

    Comments, order, locked users and those that expired by *today* (UTC) are kept. Raises
    ObjectNotFoundError, MalformedError if the Secret does not have the layout of *reader*, and
    FileAccessError.
    """
    old = atomicfile.read(path)
    new = merge(old, read(fetch(cluster, *secret), reader), reader, today)
    return Pull(path, old, new, compare(HtpasswdFile(old or b""), HtpasswdFile(new)))
