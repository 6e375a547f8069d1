"""
Every failure that regctl expects, by name.

A message says what was attempted, on what, and what the other side answered. A hint names the next
command. `exit_code` is the exit code of the process: 1 failed, 2 usage, 3 partly done, 4 not
authenticated or not permitted. No message holds a password.
"""

import shlex
from typing import ClassVar


class RegctlError(Exception):
    """The base of every expected failure: a message of one line and perhaps a hint."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidInputError(RegctlError):
    """The input is wrong by itself; nothing was tried."""

    exit_code = 2


class AccessError(RegctlError):
    """The other side denies access."""

    exit_code = 4


class NotAuthenticatedError(AccessError):
    """The password or token is wrong, missing or expired."""


class NotPermittedError(AccessError):
    """Authenticated, but not authorized."""


class PartlyDoneError(RegctlError):
    """A part is done and stays done; a second run completes it."""

    exit_code = 3


class DifferenceError(RegctlError):
    """A difference or finding in a command that looks for one, such as `--check`."""


# The ground: files and references


class FileAccessError(RegctlError):
    """A file cannot be opened, read or replaced."""


class MountPointError(FileAccessError):
    """A file is a mount point itself: it can be written to, but not replaced."""


class LockedError(RegctlError):
    """Another process held the file's lock for longer than the timeout."""


class MalformedError(RegctlError):
    """A document does not have the format it should; the message names the line if known."""


class InvalidReferenceError(InvalidInputError):
    """The text is not the name of a registry, a repository or an image."""


# authfile: the auth file


class InvalidUserError(InvalidInputError):
    """Some reader of auth files would read this user name as another."""


class InvalidPasswordError(InvalidInputError):
    """A password is empty, or a server would truncate it."""


class UnknownUserError(RegctlError):
    """The auth file has no such user."""


class LockedUserError(RegctlError):
    """The user is in the auth file, but locked."""


class UserExistsError(RegctlError):
    """The auth file already has the user."""


class WrongPasswordError(NotAuthenticatedError):
    """The password does not match the user's hash in the auth file."""


class LockoutError(RegctlError):
    """The change would leave nobody, or none of the present users; nothing was changed."""


class UnsuitableAuthFileError(RegctlError):
    """The auth file would not work for its reader; nothing was uploaded."""


class InvalidUserListError(MalformedError):
    """A list of users has wrong entries; *problems* has a line for each."""

    def __init__(self, message: str, *, problems: tuple[str, ...], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class UnreadableHashError(RegctlError):
    """A hash has a scheme that regctl cannot verify."""


class NotRotatedError(RegctlError):
    """The run gave no user a new password."""


# credentials: docker's config


class NoCredentialError(RegctlError):
    """No password was passed, and none was found."""


class CredentialHelperError(RegctlError):
    """A credential helper of docker is missing or failed."""


# pullsecrets: pull secrets in the cluster


class CredentialRejectedError(NotAuthenticatedError):
    """The registry rejects a credential that was to be written; it was not."""


# registry: the registry's API


class RegistryError(RegctlError):
    """The registry's answer is an error, or of no use."""


class RegistryUnreachableError(RegistryError):
    """The registry did not answer: name resolution, connection or timeout."""


class CertificateError(RegistryError):
    """The registry's certificate is not trusted."""


class ConnectionLostError(RegistryUnreachableError):
    """The connection ended before the answer did; a retry may help."""


class UntrustedUrlError(RegistryError):
    """A server names a URL, or has an address, that must not get a request."""


class NotARegistryError(RegistryError):
    """The server does not speak the registry's protocol."""


class NotInRegistryError(RegistryError):
    """The registry has no such repository, tag or manifest."""


class NoCatalogError(RegistryError):
    """The registry does not list its repositories, or not for this user."""


class DeletionRefusedError(RegistryError):
    """The registry does not delete this, or deletes nothing at all."""


class DeletionByDigestOnlyError(DeletionRefusedError):
    """The registry deletes a digest with all its tags, but no single tag."""


class BodyTooLargeError(RegistryError):
    """The registry, or a proxy before it, rejects a body of that size."""


class DiskFullError(RegistryError):
    """The registry's disk is full."""


class UnknownManifestError(RegistryError):
    """The manifest's media type is not one of an image."""


class DigestMismatchError(RegistryError):
    """The content does not match its digest."""


class IncompleteListError(PartlyDoneError):
    """A list ended early; *last* is the last name received."""

    def __init__(self, message: str, *, last: str) -> None:
        super().__init__(message, hint=f"`--last {shlex.quote(last)}` continues the list")
        self.last = last


# cluster: the Kubernetes API


class ClusterError(RegctlError):
    """The API server answered with an error that has no class of its own."""


class UnknownKindError(ClusterError):
    """The server does not know this kind of object, or is not an API server."""


class KubeconfigError(ClusterError):
    """The kubeconfig is missing or cannot be used."""


class ClusterUnreachableError(ClusterError):
    """The API server did not answer."""


class InvalidNamespaceError(InvalidInputError):
    """The text is not a namespace's name by RFC 1123."""


class InvalidObjectNameError(InvalidInputError):
    """The text is not the name of a Kubernetes object by RFC 1123."""


class ObjectNotFoundError(ClusterError):
    """The cluster has no such object."""


class NamespaceMissingError(ClusterError):
    """The namespace does not exist."""


class NamespaceTerminatingError(ClusterError):
    """The namespace is being deleted and accepts no new objects."""


class ConflictError(ClusterError):
    """Another client changed the object, or owns the field."""


class FieldOwnedError(ConflictError):
    """Another field manager owns a field that was to be applied."""


class ForeignObjectError(ClusterError):
    """Somebody else manages the object; it was not changed."""


class NotStartedError(ClusterError):
    """The run was interrupted before this change started."""


class ImmutableError(ClusterError):
    """The object, or its type, cannot be changed in place."""
