"""What a request tells: whether it may be repeated, and which rights it needs."""

import pytest

from regctl.registry.request import Request

BLOB = "/v2/a/blobs/sha256:0"


@pytest.mark.parametrize(
    ("request_", "status", "repeated"),
    [
        (Request("GET", BLOB, "x"), 503, True),
        (Request("HEAD", BLOB, "x"), 502, True),
        (Request("GET", BLOB, "x"), 429, True),
        (Request("GET", BLOB, "x"), 500, True),
        (Request("GET", BLOB, "x"), 404, False),
        (Request("POST", BLOB, "x"), 503, False),
        (Request("PUT", BLOB, "x"), 429, True),
        (Request("PUT", BLOB, "x", repeatable=True), 504, True),
    ],
)
def test_a_request_is_repeated_only_if_that_is_safe(
    request_: Request, status: int, *, repeated: bool
) -> None:
    assert request_.may_repeat_after(status) is repeated


@pytest.mark.parametrize(
    ("request_", "part", "scope"),
    [
        (Request("GET", "/v2/", "x"), "/v2/", ""),
        (Request("GET", "/v2/_catalog?n=5", "x"), "registry", "registry:catalog:*"),
        (Request("GET", "/v2/a/b/tags/list", "x"), "repository", "repository:a/b:pull"),
        (Request("HEAD", "/v2/a/manifests/1", "x"), "repository", "repository:a:pull"),
        (Request("PUT", "/v2/a/manifests/1", "x"), "repository", "repository:a:pull,push"),
        (Request("DELETE", "/v2/a/manifests/1", "x"), "repository", "repository:a:pull,delete"),
        (Request("GET", BLOB, "x", actions="*"), "repository", "repository:a:*"),
        (
            Request("POST", "/v2/b/blobs/uploads/?mount=x&from=a", "x"),
            "repository",
            "repository:b:pull,push repository:a:pull",
        ),
        (Request("GET", "/api/v2.0/ping", "x"), "/api/v2.0/ping", ""),
    ],
)
def test_a_request_asks_for_the_rights_that_it_needs(
    request_: Request, part: str, scope: str
) -> None:
    assert (request_.part, request_.scope) == (part, scope)
