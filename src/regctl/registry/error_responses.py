"""What it means that a registry says no."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from regctl.credentials.credential import Credential
from regctl.errors import (
    BodyTooLargeError,
    DeletionRefusedError,
    NoCatalogError,
    NotARegistryError,
    NotAuthenticatedError,
    NotInRegistryError,
    NotPermittedError,
    RegctlError,
    RegistryError,
)
from regctl.reference import DOCKER_HUB, Registry
from regctl.registry.challenges import parse_challenges
from regctl.registry.transport import Response

_BODY_SIZE_HINT = (
    "set the annotation nginx.ingress.kubernetes.io/proxy-body-size: '0' on the Ingress, "
    "or client_max_body_size 0 in nginx"
)
# How distribution passes ENOSPC on with its 500: in words, or by Linux's number in Go's JSON.
_DISK_FULL = (b"no space left on device", b'"Err":28}')
_SAID_BYTES = 200

_WITHOUT_CATALOG = {
    DOCKER_HUB: ("Docker Hub has no catalog", "its web site lists them"),
    "ghcr.io": ("GitHub has no catalog", "its web site lists an owner's packages"),
    "public.ecr.aws": ("the public ECR has no catalog", "its web site lists them"),
    "registry.gitlab.com": (
        "GitLab shows the catalog to its administrators only",
        "its own API lists those of a project or a group",
    ),
}


def refusal(
    reply: Response, attempt: str, registry: Registry, credential: Credential | None
) -> RegctlError:
    """
    Return the error for an answer that is no success: by its status, with its own words.

    *credential* is who asked. The words are those of the distribution specification's errors, or
    of what Docker Hub, Quay and zot send in their place.
    """
    if reply.status == HTTPStatus.UNAUTHORIZED:
        return _unauthorized(reply, attempt, credential)
    if reply.status == HTTPStatus.NOT_FOUND:
        return _missing(reply, attempt)
    if reply.status == HTTPStatus.BAD_REQUEST:
        return _bad_request(reply, attempt, registry, credential)
    if reply.status == HTTPStatus.FORBIDDEN:
        whom = f" for {credential.username}" if credential and credential.username else ""
        return NotPermittedError(f"{attempt}: forbidden{whom}{_quoted(reply)}")
    return _too_much(reply, attempt) or RegistryError(
        f"{attempt}: it answers {reply.status}{_quoted(reply)}"
    )


def _too_much(reply: Response, attempt: str) -> RegctlError | None:
    """Return the error where there is too much of something: requests, bytes, or on its disk."""
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return RegistryError(
            f"{attempt}: too many requests{_quoted(reply)}",
            hint="wait, or log in: many registries allow a user more than nobody",
        )
    if reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return BodyTooLargeError(
            f"{attempt}: something between takes no body of that size", hint=_BODY_SIZE_HINT
        )
    if reply.status == HTTPStatus.INSUFFICIENT_STORAGE or any(
        it in reply.body for it in _DISK_FULL
    ):
        return RegistryError(
            f"{attempt}: the registry's disk is full",
            hint="`regctl image prune` and the registry's garbage collection make room",
        )
    return None


def deletion_error(reply: Response, attempt: str, reference: str) -> RegctlError | None:
    """
    Return why this registry does not delete, where its answer says so, or None.

    distribution 2.8 answers a tag with 400 DIGEST_INVALID, Harbor with 400 UNSUPPORTED; 405 is
    said where deletion is off, and by zot of a manifest that an index needs.
    """
    by_tag = ":" not in reference
    if reply.status == HTTPStatus.BAD_REQUEST and by_tag and reply.body:
        return DeletionRefusedError(
            f"{attempt}: it deletes by digest only", hint="--all-tags deletes the digest"
        )
    if reply.status != HTTPStatus.METHOD_NOT_ALLOWED:
        return None
    if b"DENIED" in reply.body:
        return DeletionRefusedError(
            f"{attempt}: it is part of an image for several platforms",
            hint="delete that image first",
        )
    return DeletionRefusedError(
        f"{attempt}: deletion is off in this registry",
        hint="set REGISTRY_STORAGE_DELETE_ENABLED=true for it and start it again",
    )


def catalog_error(registry: Registry, error: RegctlError) -> RegctlError | None:
    """Return why this registry lists nothing, where it is known for that, or None."""
    for host, (why, hint) in _WITHOUT_CATALOG.items():
        if registry.host == host:
            return NoCatalogError(f"cannot list the repositories of {registry}: {why}", hint=hint)
    if isinstance(error, NotInRegistryError):
        return NoCatalogError(f"{error}: it has no catalog")
    return None


def _unauthorized(reply: Response, attempt: str, credential: Credential | None) -> RegctlError:
    if credential is None:
        return NotAuthenticatedError(
            f"{attempt}: it asks for a user and password",
            hint="pass --username and --password-stdin",
        )
    user = credential.username or "the token's user"
    challenges = parse_challenges(reply.challenges)
    schemes = {challenge.scheme for challenge in challenges}
    if schemes and not schemes & {"basic", "bearer"}:
        names = ", ".join(sorted(schemes))
        return NotAuthenticatedError(f"{attempt}: it takes {names} only, which we have not")
    errors = {challenge.parameters.get("error") for challenge in challenges}
    if "insufficient_scope" in errors:
        return NotPermittedError(f"{attempt}: forbidden for {user}, or not there")
    if credential.registry_token or not credential.username or "invalid_token" in errors:
        return NotAuthenticatedError(f"{attempt}: it refuses the token of {user}")
    if reply.with_token:
        # The token server took the password: it is the right that is missing.
        return NotPermittedError(f"{attempt}: not permitted to {user}, or not there")
    hint = f"`regctl verify {user}` tells whether the auth file knows this password"
    if user == "robot":
        hint = "a robot of Harbor is robot$NAME: put it in single quotes"
    return NotAuthenticatedError(f"{attempt}: it refuses the password of {user}", hint=hint)


def _bad_request(
    reply: Response, attempt: str, registry: Registry, credential: Credential | None
) -> RegctlError:
    # Go's net/http and nginx, to HTTP on their HTTPS port.
    if b"HTTP request" in reply.body or b"plain HTTP" in reply.body:
        return NotARegistryError(
            f"{attempt}: {registry} speaks HTTPS", hint="leave out --plain-http"
        )
    if credential is not None and not reply.body:
        # distribution, registry/auth/htpasswd: a file that is missing or malformed.
        return RegistryError(
            f"{attempt}: it answers 400 to a user and password: it can't read its auth file",
            hint="`regctl auth check` finds the line",
        )
    return RegistryError(f"{attempt}: it answers 400{_quoted(reply)}")


def _missing(reply: Response, attempt: str) -> RegctlError:
    if _said(reply) or reply.method == "HEAD" or "/manifests/" in reply.url:
        return NotInRegistryError(f"{attempt}: not found")
    host = "/".join(reply.url.split("/")[:3])
    return NotARegistryError(
        f"{attempt}: what answers at {host} is not a registry",
        hint="a registry is HOST or HOST:PORT, without a path",
    )


def _said(reply: Response) -> list[str]:
    """Return what an error's body says; "error" where it is one of the specification's, unsaid."""
    try:
        document: Any = json.loads(reply.body)
    except (ValueError, RecursionError):
        return []
    if not isinstance(document, dict):
        return []
    errors = document.get("errors")
    listed: Sequence[Any] = errors if isinstance(errors, list) else [document]
    return [
        next((error[name] for name in _WORDS if isinstance(error.get(name), str)), "error")
        for error in listed
        if isinstance(error, dict) and error.keys() & set(_WORDS)
    ]


# The first three are the specification's, the others those of Hub and Quay.
_WORDS = ("message", "code", "detail", "details", "error")


def _quoted(reply: Response) -> str:
    """Return what the registry says of its refusal, to stand at the end of a message."""
    said = "; ".join(_said(reply))[:_SAID_BYTES]
    return f": {said}" if said else ""
