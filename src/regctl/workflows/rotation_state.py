"""What a rotation finds when it starts, or starts again, and what follows from that."""

from dataclasses import dataclass, field

from regctl.authfile.htpasswd import HtpasswdFile
from regctl.errors import RegctlError
from regctl.workflows.holders import Holder
from regctl.workflows.rotation_steps import Failure, LocalLogin


@dataclass(frozen=True)
class RotationState:
    """
    What exists when a rotation from *old* to *new* starts, or starts again.

    *users* are those of the auth file. *old_holders* need an update, *new_holders* have the new
    credential, *ignored* name a user with a password that does not work. *password* is the new
    user's, if a pull secret has one that the auth file accepts. *in_sync* is whether auth file and
    auth Secret have the same users, *local* are the logins on this machine with the old password.
    *between* are users that earlier runs put in *old*'s place, and whose passwords no pull secret
    has yet: another run may be about to write them. *unseen* is why some pull secrets could not be
    read.
    """

    old: str
    new: str
    users: HtpasswdFile = field(repr=False)
    old_holders: tuple[Holder, ...] = ()
    new_holders: tuple[Holder, ...] = ()
    ignored: tuple[Holder, ...] = ()
    password: str | None = field(default=None, repr=False)
    in_sync: bool = True
    local: tuple[LocalLogin, ...] = ()
    unseen: RegctlError | None = None
    between: tuple[str, ...] = ()

    @property
    def replaced(self) -> tuple[str, ...]:
        """The users that the new one replaces."""
        return (self.old, *self.between)

    @property
    def old_exists(self) -> bool:
        """Whether the auth file has a user that is replaced."""
        return any(map(self.users.hashes, self.replaced))

    @property
    def new_exists(self) -> bool:
        """Whether the auth file has the new user."""
        return bool(self.users.hashes(self.new))

    @property
    def lost(self) -> bool:
        """Whether the new user exists, and no pull secret that was read has its password."""
        return self.new_exists and self.password is None

    @property
    def must_add(self) -> bool:
        """Whether the new user must be added, or get a password."""
        return self.password is None or not self.new_exists or not self.in_sync

    @property
    def blocked(self) -> list[Failure]:
        """The holders that must not be updated, and why."""
        return [(one, one.obstacle) for one in self.old_holders if one.obstacle is not None]

    @property
    def needing_old(self) -> list[Holder]:
        """The entries that work only with a user that is replaced."""
        return [one for one in self.old_holders if one.user in self.replaced]
