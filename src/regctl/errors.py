"""
Every failure that regctl expects, by name.

A message says what was attempted, on what, and what the other side answered; a hint says the next
command. `exit_code` is what the process ends with: 1 failed, 2 usage, 3 partly done, 4 not
authenticated or not permitted. Nothing here ever holds a password.
"""

import shlex
from typing import ClassVar


class RegctlError(Exception):
    """The base of every expected failure: one line for a person, and what to do about it."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidInputError(RegctlError):
    """What was typed can't be right, whatever the state of the world: nothing was tried."""

    exit_code = 2


class AccessError(RegctlError):
    """The other side knows what is wanted and refuses it."""

    exit_code = 4


class NotAuthenticatedError(AccessError):
    """The password or token is wrong, missing or expired."""


class NotPermittedError(AccessError):
    """Authenticated, and yet not allowed."""


class PartlyDoneError(RegctlError):
    """Some of it is done and stays done; a second run finishes the rest."""

    exit_code = 3


class DifferenceError(RegctlError):
    """A difference or finding, where one was asked for: `diff`, `check` and `verify`."""


class ConfirmationError(RegctlError):
    """A question was answered with no, or there was nobody to ask."""


class OutputError(RegctlError):
    """Standard output can't be written to: a full disk, most often."""


class ClosedPipeError(RegctlError):
    """The reader of standard output has had enough: the end, in silence, as by SIGPIPE."""

    exit_code = 128 + 13


# Files


class FileAccessError(RegctlError):
    """A file can't be opened, read or replaced."""


class MountPointError(FileAccessError):
    """A file that is mounted by itself: it can be written to, and not be replaced."""


class LockedError(RegctlError):
    """Another process holds the file's lock for longer than we wait."""


class MalformedError(RegctlError):
    """A file's content is not what its name says; the message names the line."""


class InvalidUserListError(MalformedError):
    """A list with wrong entries; *problems* names each of them."""

    def __init__(self, message: str, *, problems: tuple[str, ...], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


# The auth file


class InvalidUserError(InvalidInputError):
    """A user name that some consumer of an auth file would read as something else."""


class InvalidPasswordError(InvalidInputError):
    """An empty password, or one that a server would cut short."""


class UnknownUserError(RegctlError):
    """No such user in the auth file."""


class LockedUserError(RegctlError):
    """The user is in the auth file, and shut out."""


class UserExistsError(RegctlError):
    """The user is there, and was to be new."""


class WrongPasswordError(NotAuthenticatedError):
    """The password does not open the auth file."""


class UnsuitableAuthFileError(RegctlError):
    """The auth file would not do what is meant where it is to go; nothing was sent."""


class UnreadableHashError(RegctlError):
    """A hash in a scheme that can't be checked here."""


# Credentials and references


class InvalidReferenceError(InvalidInputError):
    """Not the name of a registry, a repository or an image."""


class NoCredentialError(RegctlError):
    """No password was given and none was found."""


class CredentialHelperError(RegctlError):
    """docker's credential helper is missing or failed."""


# The registry


class RegistryError(RegctlError):
    """The registry answered, and the answer is not one that we can use."""


class RegistryUnreachableError(RegistryError):
    """No answer: name resolution, connection or a time limit."""


class CertificateError(RegistryError):
    """The registry's certificate is not to be trusted."""


class ConnectionLostError(RegistryUnreachableError):
    """The connection ended before the answer did; asking again may help."""


class UntrustedRealmError(RegistryError):
    """The registry names a token server that must not see the password."""


class NotARegistryError(RegistryError):
    """Something answers there that does not speak the registry's protocol."""


class NotInRegistryError(RegistryError):
    """No such repository, tag or manifest."""


class NoCatalogError(RegistryError):
    """The registry does not list its repositories, to this user or to anybody."""


class DeletionRefusedError(RegistryError):
    """The registry does not delete this, or deletes nothing at all."""


class DeletionByDigestOnlyError(DeletionRefusedError):
    """The registry deletes a digest with all its tags, and no single tag."""


class BodyTooLargeError(RegistryError):
    """Something between takes no body of that size."""


class DiskFullError(RegistryError):
    """The registry's disk is full."""


class UnknownManifestError(RegistryError):
    """The manifest is of a kind that is not an image's."""


class DigestMismatchError(RegistryError):
    """What came is not what its digest says."""


class IncompleteListError(PartlyDoneError):
    """A list broke off; *last* is the last name that came."""

    def __init__(self, message: str, *, last: str) -> None:
        super().__init__(message, hint=f"--last {shlex.quote(last)} goes on from there")
        self.last = last


# The cluster


class ClusterError(RegctlError):
    """The API server answered with an error that has no better name here."""


class UnknownKindError(ClusterError):
    """What answers knows no such kind of object, or is no API server at all."""


class KubeconfigError(ClusterError):
    """No kubeconfig, or one that can't be used."""


class ClusterUnreachableError(ClusterError):
    """No answer from the API server."""


class InvalidNamespaceError(InvalidInputError):
    """Not a namespace's name by RFC 1123."""


class InvalidObjectNameError(InvalidInputError):
    """Not the name of a Kubernetes object by RFC 1123."""


class ObjectNotFoundError(ClusterError):
    """No such object in the cluster."""


class NamespaceMissingError(ClusterError):
    """The namespace does not exist."""


class NamespaceTerminatingError(ClusterError):
    """The namespace is being deleted and takes nothing new."""


class ConflictError(ClusterError):
    """Somebody else changed the object, or owns the field."""


class FieldOwnedError(ConflictError):
    """Another field manager owns what was to be applied."""


class ForeignObjectError(ClusterError):
    """The object belongs to somebody else; it was left alone."""


class NotStartedError(ClusterError):
    """The run was interrupted before this was begun."""


class ImmutableError(ClusterError):
    """The object, or its type, can't be changed in place."""
