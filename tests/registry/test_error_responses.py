"""Which error a registry's response is, and which hint it has."""

import json

import pytest

from regctl import errors
from regctl.credentials.credential import Credential
from regctl.registry.error_responses import deletion_error, error_for
from regctl.registry.response import Response

CI = Credential("ci", "hunter2")


def response(
    status: int,
    body: object = b"",
    *,
    method: str = "GET",
    url: str = "https://registry.foo.com/v2/a/tags/list",
    challenge: str | None = None,
    with_token: bool = False,
) -> Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    challenges = () if challenge is None else (challenge,)
    return Response(method, url, status, {}, content, challenges, with_token)


def code(name: str, **more: object) -> object:
    return {"errors": [{"code": name, **more}]}


ENOSPC = {"DriverName": "filesystem", "Enclosed": {"Op": "mkdir", "Path": "/x", "Err": 28}}


@pytest.mark.parametrize(
    ("reply", "credential", "kind", "message"),
    [
        (response(401), None, errors.NotAuthenticatedError, "asks for a user and password"),
        (response(401), CI, errors.NotAuthenticatedError, "rejects the password of ci"),
        (
            response(401, with_token=True),
            CI,
            errors.NotPermittedError,
            "not permitted for ci, or not found",
        ),
        (
            response(401, challenge='Bearer error="insufficient_scope"'),
            CI,
            errors.NotPermittedError,
            "forbidden for ci, or not found",
        ),
        (
            response(401, challenge='Bearer error="invalid_token"'),
            CI,
            errors.NotAuthenticatedError,
            "rejects the token of ci",
        ),
        (
            response(401),
            Credential("", "", registry_token="t"),
            errors.NotAuthenticatedError,
            "rejects the token of the token's user",
        ),
        (
            response(401, challenge="Negotiate"),
            CI,
            errors.NotAuthenticatedError,
            "accepts negotiate only",
        ),
        (response(403), CI, errors.NotPermittedError, "cannot try: forbidden for ci"),
        (
            response(403, code("DENIED", message="not yours")),
            None,
            errors.NotPermittedError,
            "cannot try: forbidden: not yours",
        ),
        (response(404, code("NAME_UNKNOWN")), CI, errors.NotInRegistryError, "not found"),
        (response(404, method="HEAD"), CI, errors.NotInRegistryError, "not found"),
        (
            response(404, b"<html>"),
            CI,
            errors.NotARegistryError,
            "the server at registry.foo.com is not a registry",
        ),
        (
            response(400, b"Client sent an HTTP request to an HTTPS server."),
            CI,
            errors.NotARegistryError,
            "registry.foo.com speaks HTTPS",
        ),
        (response(400), CI, errors.RegistryError, "cannot read its auth file"),
        (response(400), None, errors.RegistryError, "the registry answers 400"),
        (response(400, code("X")), CI, errors.RegistryError, "the registry answers 400: X"),
        (response(413, b"<html>"), CI, errors.BodyTooLargeError, "rejects a body of that size"),
        (response(507), CI, errors.DiskFullError, "disk is full"),
        (response(500, code("UNKNOWN", detail=ENOSPC)), CI, errors.DiskFullError, "disk is full"),
        (
            response(500, code("UNKNOWN", message="write: no space left on device")),
            CI,
            errors.DiskFullError,
            "disk is full",
        ),
        (response(429, {"details": "slow"}), CI, errors.RegistryError, "too many requests: slow"),
        (response(500, b"oops"), CI, errors.RegistryError, "the registry answers 500$"),
        (response(500, code("A" * 500)), CI, errors.RegistryError, "answers 500: A{200}$"),
    ],
)
def test_a_response_is_an_error_with_a_cause(
    reply: Response, credential: Credential | None, kind: type[errors.RegctlError], message: str
) -> None:
    error = error_for(reply, "cannot try", credential)
    assert type(error) is kind
    with pytest.raises(kind, match=message):
        raise error


def test_a_missing_robot_name_is_explained() -> None:
    error = error_for(response(401), "cannot try", Credential("robot", "x"))
    assert "single quotes" in (error.hint or "")


DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("reply", "reference", "kind", "message"),
    [
        (
            response(400, code("DIGEST_INVALID")),
            "1.0",
            errors.DeletionByDigestOnlyError,
            "deletes by digest only",
        ),
        (
            response(400, code("UNSUPPORTED")),
            "1.0",
            errors.DeletionByDigestOnlyError,
            "deletes by digest only",
        ),
        (response(405, code("DENIED")), DIGEST, errors.DeletionRefusedError, "several platforms"),
        (response(405, code("UNSUPPORTED")), DIGEST, errors.DeletionRefusedError, "is disabled"),
        (response(405, b"DENIED"), DIGEST, errors.DeletionRefusedError, "is disabled"),
    ],
)
def test_a_registry_that_does_not_delete_says_why(
    reply: Response, reference: str, kind: type[errors.RegctlError], message: str
) -> None:
    error = deletion_error(reply, "cannot delete", reference)
    assert type(error) is kind
    assert message in str(error)


@pytest.mark.parametrize(
    ("reply", "reference"),
    [
        (response(400, code("DIGEST_INVALID")), DIGEST),
        (response(400), "1.0"),
        (response(404, code("MANIFEST_UNKNOWN")), "1.0"),
    ],
)
def test_another_failure_of_a_deletion_is_no_refusal(reply: Response, reference: str) -> None:
    assert deletion_error(reply, "cannot delete", reference) is None
