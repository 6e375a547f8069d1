"""What a registry's error response means, and what to do about it."""

import errno
from http import HTTPStatus

from regctl.connection import REMEDIES, wants_tls
from regctl.credentials.credential import Credential
from regctl.errors import (
    BodyTooLargeError,
    DeletionByDigestOnlyError,
    DeletionRefusedError,
    DiskFullError,
    NotARegistryError,
    NotAuthenticatedError,
    NotInRegistryError,
    NotPermittedError,
    RegctlError,
    RegistryError,
)
from regctl.redaction import redact
from regctl.registry.challenges import parse_challenges
from regctl.registry.response import Response
from regctl.registry.urls import host_of

_BODY_SIZE_HINT = (
    "set the annotation nginx.ingress.kubernetes.io/proxy-body-size: '0' on the Ingress, "
    "or client_max_body_size 0 in nginx"
)
_QUOTED_CHARACTERS = 200


def error_for(reply: Response, attempt: str, credential: Credential | None) -> RegctlError:
    """
    Return the error for an unsuccessful response, with the registry's own words.

    *credential* is what the request was sent with. The words are those of the distribution
    specification's errors, or what Docker Hub, Quay and zot send in their place.
    """
    text = redact("; ".join(reply.error_texts), credential.sensitive_values if credential else ())
    text = text[:_QUOTED_CHARACTERS]
    quoted = f": {text}" if text else ""
    error: RegctlError
    match reply.status:
        case HTTPStatus.BAD_REQUEST if known := _bad_request(reply, attempt, credential):
            error = known
        case HTTPStatus.UNAUTHORIZED:
            error = _unauthorized(reply, attempt, credential)
        case HTTPStatus.FORBIDDEN:
            user = f" for {credential.username}" if credential and credential.username else ""
            error = NotPermittedError(f"{attempt}: forbidden{user}{quoted}")
        case HTTPStatus.NOT_FOUND:
            error = _not_found(reply, attempt)
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            error = BodyTooLargeError(
                f"{attempt}: a proxy in front of the registry rejects a body of that size",
                hint=_BODY_SIZE_HINT,
            )
        case HTTPStatus.TOO_MANY_REQUESTS:
            error = RegistryError(
                f"{attempt}: too many requests{quoted}",
                hint="wait, or log in: many registries allow a user more than anonymous clients",
            )
        case status if status == HTTPStatus.INSUFFICIENT_STORAGE or _disk_is_full(reply):
            error = DiskFullError(
                f"{attempt}: the registry's disk is full",
                hint="`regctl image prune` and the registry's garbage collection free disk space",
            )
        case status:
            error = RegistryError(f"{attempt}: the registry answers {status}{quoted}")
    return error


def _disk_is_full(reply: Response) -> bool:
    """Whether distribution reports ENOSPC: in words, or by number in the error of its driver."""
    return b"no space left on device" in reply.body or any(
        isinstance(detail := error.get("detail"), dict)
        and isinstance(enclosed := detail.get("Enclosed"), dict)
        and enclosed.get("Err") == errno.ENOSPC
        for error in reply.errors
    )


def require_registry(reply: Response, attempt: str) -> None:
    """
    Raise NotARegistryError if the response to `/v2/` is a web page: many servers answer 200 to all.

    A registry may send an object, `true` as Quay does, or nothing.
    """
    is_page = "html" in reply.headers.get("Content-Type", "") or reply.body.lstrip()[:1] == b"<"
    if reply.status == HTTPStatus.OK and is_page:
        raise NotARegistryError(
            f"{attempt}: the server at {host_of(reply.url)} is not a registry: it sends a web page",
            hint=REMEDIES["other server"].registry,
        )


def deletion_error(reply: Response, attempt: str, reference: str) -> RegctlError | None:
    """
    Return why this registry does not delete, if its response says so, or None.

    distribution 2.8 answers a tag with 400 DIGEST_INVALID, Harbor with 400 UNSUPPORTED. 405 means
    that deletion is disabled, or at zot with DENIED that an index refers to the manifest.
    """
    by_tag = ":" not in reference
    if reply.status == HTTPStatus.BAD_REQUEST and by_tag and reply.body:
        return DeletionByDigestOnlyError(
            f"{attempt}: the registry deletes by digest only", hint="--all-tags deletes the digest"
        )
    if reply.status != HTTPStatus.METHOD_NOT_ALLOWED:
        return None
    if "DENIED" in reply.codes:
        return DeletionRefusedError(
            f"{attempt}: it is part of an image for several platforms",
            hint="delete that image first",
        )
    return DeletionRefusedError(
        f"{attempt}: deletion is disabled in this registry",
        hint="set REGISTRY_STORAGE_DELETE_ENABLED=true for the registry and restart it",
    )


def _unauthorized(reply: Response, attempt: str, credential: Credential | None) -> RegctlError:
    if credential is None:
        return NotAuthenticatedError(
            f"{attempt}: the registry asks for a user and password",
            hint="pass --username and --password-stdin",
        )
    user = credential.user
    challenges = parse_challenges(reply.challenges)
    schemes = {challenge.scheme for challenge in challenges}
    if schemes and not schemes & {"basic", "bearer"}:
        names = ", ".join(sorted(schemes))
        return NotAuthenticatedError(
            f"{attempt}: the registry accepts {names} only, which regctl does not support"
        )
    errors = {challenge.parameters.get("error") for challenge in challenges}
    if "insufficient_scope" in errors:
        return NotPermittedError(f"{attempt}: forbidden for {user}, or not found")
    if credential.registry_token or not credential.username or "invalid_token" in errors:
        return NotAuthenticatedError(f"{attempt}: the registry rejects the token of {user}")
    if reply.with_token:
        # The token server accepted the password, so the user lacks a permission.
        return NotPermittedError(f"{attempt}: not permitted for {user}, or not found")
    hint = f"`regctl verify {user}` checks this password against the auth file"
    if user == "robot":
        hint = "a robot account of Harbor is robot$NAME: put it in single quotes"
    return NotAuthenticatedError(
        f"{attempt}: the registry rejects the password of {user}", hint=hint
    )


def _bad_request(
    reply: Response, attempt: str, credential: Credential | None
) -> RegctlError | None:
    if wants_tls(reply.body):
        return NotARegistryError(
            f"{attempt}: {host_of(reply.url)} speaks HTTPS", hint=REMEDIES["speaks HTTPS"].registry
        )
    if credential is not None and not reply.body:
        # distribution, registry/auth/htpasswd: a file that is missing or malformed.
        return RegistryError(
            f"{attempt}: the registry answers 400 to a user and password: "
            "it cannot read its auth file",
            hint="`regctl auth check` finds the line",
        )
    return None


def _not_found(reply: Response, attempt: str) -> RegctlError:
    is_registry = reply.errors or "Docker-Distribution-Api-Version" in reply.headers
    if is_registry or reply.method == "HEAD" or "/manifests/" in reply.url:
        return NotInRegistryError(f"{attempt}: not found")
    return NotARegistryError(
        f"{attempt}: the server at {host_of(reply.url)} is not a registry",
        hint=REMEDIES["other server"].registry,
    )
