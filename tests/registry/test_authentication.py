"""Tokens and passwords: requested once, cached until they expire, sent to nobody else."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from regctl import errors
from regctl.credentials.credential import Credential
from regctl.reference import Registry
from regctl.registry.client import RegistryClient
from tests.conftest import Servers
from tests.registry import PLAIN
from tests.servers.products import (
    PASSWORD,
    REFUSED,
    USER,
    Product,
    TokenServer,
    basic,
    bearer,
    challenge,
    filled,
    token_registry,
)
from tests.servers.standin_registry import Answer, Request, Script, standin_registry

ALICE = Credential(USER, PASSWORD)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def client(
    host: str, credential: Credential | None = ALICE, clock: Callable[[], float] = time.monotonic
) -> RegistryClient:
    return RegistryClient(Registry.parse(host), credential=credential, settings=PLAIN, clock=clock)


def asked(product: Product) -> list[Request]:
    assert product.tokens is not None
    return product.tokens.server.requests


def test_sixteen_threads_request_one_token_once(serve: Servers) -> None:
    product = serve(token_registry())
    shared = client(product.host)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: shared.tags("team/app"), range(64)))
    assert found == [["1.0", "2.0"]] * 64
    assert len(asked(product)) == 1


def test_a_token_is_for_its_scope(serve: Servers) -> None:
    product = serve(token_registry())
    shared = client(product.host)
    assert sorted(shared.repositories()) == ["team/app", "team/db", "tools"]
    shared.tags("team/app")
    shared.tags("team/db")
    assert [request.query["scope"] for request in asked(product)] == [
        "registry:catalog:*",
        "repository:team/app:pull",
        "repository:team/db:pull",
    ]
    assert {request.query["account"] for request in asked(product)} == {USER}


@pytest.mark.parametrize(
    ("expires_in", "life"),
    [(300, 300), (None, 60), (5, 60), (10**400, 60), (-(10**400), 60)],
    ids=["300", "none", "5", "huge", "huge and negative"],
)
def test_a_token_is_requested_again_when_it_expires(
    serve: Servers, expires_in: int | None, life: int
) -> None:
    """A token lives at least a minute, also without `expires_in`, as the specification says."""
    product, clock = serve(token_registry(TokenServer(expires_in=expires_in))), Clock()
    shared = client(product.host, clock=clock)
    shared.tags("team/app")
    clock.now += life - 10
    shared.tags("team/app")
    assert len(asked(product)) == 1
    clock.now += 10
    shared.tags("team/app")
    assert len(asked(product)) == 2


def test_a_token_that_is_rejected_before_it_expires_is_replaced(serve: Servers) -> None:
    product = serve(token_registry())
    assert product.tokens
    shared = client(product.host)
    shared.tags("team/app")
    product.tokens.issued.clear()
    assert shared.tags("team/app") == ["1.0", "2.0"]
    assert len(asked(product)) == 2


def test_an_access_token_is_accepted_as_a_token(serve: Servers) -> None:
    product = serve(token_registry(TokenServer(name="access_token")))
    assert client(product.host).tags("team/db") == ["16"]


def test_an_anonymous_client_gets_a_token_if_the_server_gives_one(serve: Servers) -> None:
    product = serve(token_registry(TokenServer(anonymous=True)))
    assert client(product.host, None).tags("team/db") == ["16"]
    assert "authorization" not in asked(product)[0].headers
    assert "account" not in asked(product)[0].query


def test_a_refresh_token_is_posted_and_never_in_a_url(serve: Servers) -> None:
    product = serve(token_registry())
    helper = Credential("", "", identity_token="refresh-me")
    assert client(product.host, helper).tags("team/db") == ["16"]
    (request,) = asked(product)
    assert request.method == "POST"
    assert b"grant_type=refresh_token&refresh_token=refresh-me" in request.body
    assert "refresh-me" not in str(request.query)


def test_a_registry_token_is_sent_as_it_is(serve: Servers) -> None:
    product = serve(token_registry())
    assert product.tokens
    product.tokens.issued["given"] = "all"
    assert client(product.host, Credential("", "", registry_token="given")).tags("tools") == [
        "latest"
    ]
    assert asked(product) == []


def registry_with(serve: Servers, header: Callable[[TokenServer], str]) -> tuple[str, TokenServer]:
    """Run a registry that accepts tokens and sends this challenge without one."""
    tokens = TokenServer()
    serve(standin_registry(tokens.server))

    def script(request: Request) -> Answer | None:
        return None if tokens.knows(request) else challenge(REFUSED, header(tokens))

    return serve(standin_registry(filled(script))).host, tokens


@pytest.mark.parametrize(
    "header",
    [
        lambda tokens: f'Bearer realm="{tokens.server.url}/token"',
        lambda tokens: f'Negotiate, bearer REALM="{tokens.server.url}/token?a=b", Basic realm="x"',
    ],
)
def test_a_challenge_needs_no_service_and_no_scope(
    serve: Servers, header: Callable[[TokenServer], str]
) -> None:
    host, tokens = registry_with(serve, header)
    assert client(host).tags("team/db") == ["16"]
    assert tokens.issued == {"token-0": "repository:team/db:pull"}


def test_a_relative_realm_is_resolved_against_the_registry(serve: Servers) -> None:
    tokens = TokenServer()

    def script(request: Request) -> Answer | None:
        if request.path == "/auth/token":
            return tokens.answer(request)
        if tokens.knows(request):
            return None
        return challenge(REFUSED, 'Bearer realm="/auth/token",service="here"')

    assert client(serve(standin_registry(filled(script))).host).tags("team/db") == ["16"]


def test_each_part_of_the_api_keeps_the_scheme_that_worked(serve: Servers) -> None:
    """As Harbor does it: a token for images, the password for the list."""
    tokens = TokenServer()
    serve(standin_registry(tokens.server))

    def script(request: Request) -> Answer | None:
        if request.path == "/v2/_catalog":
            return None if basic(request) else challenge(REFUSED, 'Basic realm="harbor"')
        return None if tokens.knows(request) else bearer(tokens, request)

    registry = serve(standin_registry(filled(script)))
    shared = client(registry.host)
    for _ in range(2):
        assert shared.tags("team/db") == ["16"]
        assert sorted(shared.repositories()) == ["team/app", "team/db", "tools"]
    refusals = len(registry.requests) - 4
    assert refusals == 1, "only the first request for an image has the wrong scheme"


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (REFUSED, errors.NotAuthenticatedError, "the token server .* rejects the password"),
        (Answer(403), errors.NotPermittedError, "permits no access for robot"),
        (Answer(500, b"oops"), errors.RegistryError, "the token server .* answers 500"),
        (Answer(200, b"<html>"), errors.RegistryError, "sends no token"),
        (Answer.of({"token": ""}), errors.RegistryError, "sends no token"),
        (Answer.of({"token": "a\nb"}), errors.RegistryError, "sends no token"),
        (Answer.of([1]), errors.RegistryError, "sends no token"),
        (Answer(200, b"x" * 2_000_000), errors.RegistryError, "longer than 1 MiB"),
    ],
)
def test_a_token_server_without_a_token_is_named(
    serve: Servers, answer: Answer, error: type[errors.RegctlError], message: str
) -> None:
    host, tokens = registry_with(serve, lambda t: f'Bearer realm="{t.server.url}/token"')
    tokens.server.script = lambda _request: answer
    with pytest.raises(error, match=message):
        client(host).tags("team/db")


def test_a_token_server_without_refresh_tokens_is_named(serve: Servers) -> None:
    host, tokens = registry_with(serve, lambda t: f'Bearer realm="{t.server.url}/token"')
    tokens.server.script = lambda _request: Answer(404)
    with pytest.raises(errors.NotAuthenticatedError, match="accepts no refresh tokens"):
        client(host, Credential("", "", identity_token="refresh-me")).tags("team/db")


def test_a_token_server_asks_an_anonymous_client_for_a_password(serve: Servers) -> None:
    host, _ = registry_with(serve, lambda t: f'Bearer realm="{t.server.url}/token"')
    with pytest.raises(errors.NotAuthenticatedError, match="asks for a user and password"):
        client(host, None).tags("team/db")


def refusing(header: str) -> Script:
    return lambda _request: challenge(REFUSED, header)


def test_a_registry_that_rejects_every_token_is_asked_three_times_at_most(serve: Servers) -> None:
    tokens = TokenServer()
    serve(standin_registry(tokens.server))
    registry = serve(
        standin_registry(filled(refusing(f'Bearer realm="{tokens.server.url}/token"')))
    )
    # The token server accepted the password, so the user lacks a permission. Harbor answers so.
    with pytest.raises(
        errors.NotPermittedError, match=r"not permitted for robot\$ci, or not found"
    ):
        client(registry.host).tags("team/db")
    assert len(registry.requests) <= 3


def test_a_correct_password_without_permission_is_not_permitted(serve: Servers) -> None:
    tokens = TokenServer()
    serve(standin_registry(tokens.server))
    header = f'Bearer realm="{tokens.server.url}/token",error="insufficient_scope"'
    registry = serve(standin_registry(filled(refusing(header))))
    with pytest.raises(errors.NotPermittedError, match=r"forbidden for robot\$ci"):
        client(registry.host).tags("team/db")


def test_an_unsupported_scheme_is_named(serve: Servers) -> None:
    registry = serve(standin_registry(filled(refusing("Negotiate"))))
    with pytest.raises(errors.NotAuthenticatedError, match="accepts negotiate only"):
        client(registry.host).tags("team/db")
