"""
Stand-ins for registries that cannot run here: Harbor, Quay, zot, Nexus, and a token server.

Each answers as recorded from the product. All have the same user and images.
"""

import base64
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.servers.standin_registry import (
    Answer,
    Request,
    Script,
    StandinRegistry,
    standin_registry,
)

USER, PASSWORD = "robot$ci", "correct horse"
IMAGES = {"team/app": ["1.0", "2.0"], "team/db": ["16"], "tools": ["latest"]}
REFUSED = Answer.of({"errors": [{"code": "UNAUTHORIZED", "message": "no"}]}, 401)


@dataclass
class Product:
    """A running stand-in: its *host*, and its servers with the requests that they got."""

    host: str
    registry: StandinRegistry
    tokens: "TokenServer | None" = None


def filled(script: Script | None = None, *, page: int = 100) -> StandinRegistry:
    """Return a stand-in with IMAGES in it."""
    registry = StandinRegistry(script=script, page=page)
    for repository, tags in IMAGES.items():
        for tag in tags:
            registry.put_image(repository, tag, f"{repository}:{tag}".encode())
    return registry


def basic(request: Request) -> tuple[str, str] | None:
    """Return user and password of a request with Basic authentication, or None."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme != "Basic":
        return None
    user, _, password = base64.b64decode(encoded).decode().partition(":")
    return user, password


def challenge(answer: Answer, header: str) -> Answer:
    """Return *answer* with a challenge."""
    return Answer(answer.status, answer.body, {**answer.headers, "WWW-Authenticate": header})


@dataclass
class TokenServer:
    """
    A server that gives a token for USER and PASSWORD; *issued* has its tokens and their scopes.

    It answers 400 to a scope that starts with *refuses*. *name* is the field with the token.
    """

    refuses: str | None = None
    name: str = "token"
    expires_in: int | None = 300
    anonymous: bool = False
    issued: dict[str, str] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    server: StandinRegistry = field(default_factory=StandinRegistry)

    def __post_init__(self) -> None:
        self.server.script = self.answer

    def answer(self, request: Request) -> Answer:
        """Answer a request for a token."""
        scope = request.query.get("scope", "")
        if request.method == "POST":
            scope = "of a refresh token"
        elif (basic(request) is None and not self.anonymous) or basic(request) not in {
            None,
            (USER, PASSWORD),
        }:
            return REFUSED
        if self.refuses is not None and scope.startswith(self.refuses):
            return Answer.of({"error": "Unable to decode repository and actions"}, 400)
        token = f"token-{next(self.numbers)}"
        self.issued[token] = scope
        more = {} if self.expires_in is None else {"expires_in": self.expires_in}
        return Answer.of({self.name: token, **more})

    def knows(self, request: Request) -> bool:
        """Whether a request carries a token of this server."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme == "Bearer" and token in self.issued


def bearer(tokens: TokenServer, request: Request) -> Answer:
    """Return the 401 that names the token server, as distribution sends it."""
    path = request.path.removeprefix("/v2/")
    scope = ""
    if path == "_catalog":
        scope = ',scope="registry:catalog:*"'
    elif path:
        name = path.rsplit("/", 2)[0]
        scope = f',scope="repository:{name}:pull"'
    return challenge(REFUSED, f'Bearer realm="{tokens.server.url}/token",service="stand-in"{scope}')


@contextmanager
def token_registry(tokens: TokenServer | None = None) -> Iterator[Product]:
    """Run distribution with a token server."""
    tokens = tokens or TokenServer()
    state = filled(lambda request: None if tokens.knows(request) else bearer(tokens, request))
    with standin_registry(tokens.server), standin_registry(state) as registry:
        yield Product(registry.host, registry, tokens)


@contextmanager
def harbor() -> Iterator[Product]:
    """
    Run Harbor: Bearer for all but the catalog, which asks for Basic and rejects ordinary users.

    Its API lists the repositories that a user may see, here two a page.
    """
    tokens = TokenServer()

    def script(request: Request) -> Answer | None:
        if request.path == "/api/v2.0/ping":
            return Answer.of("Pong")
        if request.path == "/api/v2.0/repositories":
            if basic(request) != (USER, PASSWORD):
                return REFUSED
            page, size = int(request.query["page"]), min(int(request.query["page_size"]), 2)
            names = sorted(state.tags)[(page - 1) * size : page * size]
            listed = [{"name": name, "artifact_count": 1} for name in names]
            return Answer.of(listed, headers={"X-Total-Count": str(len(state.tags))})
        if request.path == "/v2/_catalog":
            return challenge(REFUSED, 'Basic realm="harbor"')
        return None if tokens.knows(request) else bearer(tokens, request)

    state = filled(script)
    with standin_registry(tokens.server), standin_registry(state) as registry:
        yield Product(registry.host, registry, tokens)


@contextmanager
def quay() -> Iterator[Product]:
    """Run Quay: tokens for repositories only, and links with an opaque token and another host."""
    tokens = TokenServer(refuses="registry:")

    def script(request: Request) -> Answer | None:
        if request.headers.get("authorization", "").startswith("Basic"):
            return challenge(
                Answer.of({"error": "Invalid bearer token format"}, 401),
                f'Bearer realm="{tokens.server.url}/token",service="quay"',
            )
        if not tokens.knows(request):
            return bearer(tokens, request)
        if request.path != "/v2/_catalog":
            return None
        names = sorted(state.tags, key=len)  # by id, which is not the order of names
        at = int(request.query.get("next_page", "opaque-0").removeprefix("opaque-"))
        link = f'<http://quay.example/v2/_catalog?n=2&next_page=opaque-{at + 2}>; rel="next"'
        headers = {"Link": link} if at + 2 < len(names) else {}
        return Answer.of({"repositories": names[at : at + 2]}, headers=headers)

    state = filled(script)
    with standin_registry(tokens.server), standin_registry(state) as registry:
        yield Product(registry.host, registry, tokens)


@contextmanager
def zot() -> Iterator[Product]:
    """Run zot: an anonymous client gets an empty list, a wrong password is rejected."""

    def script(request: Request) -> Answer | None:
        if basic(request) is None:
            if request.path == "/v2/_catalog":
                return Answer.of({"repositories": []})
            if request.path == "/v2/":
                return Answer.of({})
        if basic(request) != (USER, PASSWORD):
            return challenge(REFUSED, 'Basic realm="zot"')
        return None

    with standin_registry(filled(script)) as registry:
        yield Product(registry.host, registry)


@contextmanager
def nexus() -> Iterator[Product]:
    """Run Nexus: links have another port, lists have null entries, an empty list is null."""

    def script(request: Request) -> Answer | None:
        if basic(request) != (USER, PASSWORD):
            return challenge(REFUSED, 'BASIC realm="Sonatype Nexus Repository Manager"')
        if request.path == "/v2/_catalog":
            names = [None, *sorted(state.tags)]
            at = int(request.query.get("after", 0))
            link = f'<http://127.0.0.1:1/v2/_catalog?after={at + 2}>; rel="next"'
            headers = {"Link": link} if at + 2 < len(names) else {}
            return Answer.of({"repositories": names[at : at + 2]}, headers=headers)
        if request.path == "/v2/empty/tags/list":
            return Answer.of({"name": "empty", "tags": None})
        return None

    state = filled(script)
    with standin_registry(state) as registry:
        yield Product(registry.host, registry)
